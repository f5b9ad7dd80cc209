// The collectives of ShmEngine that move data without arithmetic.
#include <algorithm>

#include "comm/shm/shm_engine.h"

namespace lockstep::comm {
namespace {

constexpr size_t kLargeBytes = size_t{16} << 20;  // far larger than the caches

}  // namespace

ShmEngine::Pull ShmEngine::PullOf(const Call& call) const {
  Pull pull;
  pull.take.resize(size());
  const size_t element = SizeOf(call.dtype());
  auto* const out = static_cast<std::byte*>(call.out.data);
  const auto part = [&](int peer) {
    const Share elements = PartOf(call, peer, size());
    return Share{elements.begin * element, elements.end * element};
  };
  const auto show_all_parts = [&] {
    for (int peer = 0; peer < size(); ++peer) pull.blocks.push_back(part(peer));
  };
  pull.longest_block = LongestPart(call, size()) * element;
  switch (call.kind) {
    case Collective::kAllGather:
    case Collective::kGather:
      pull.shown = call.in.data;
      pull.blocks = {{0, part(rank()).count()}};
      if (call.kind == Collective::kGather && rank() != call.root) break;
      for (int peer = 0; peer < size(); ++peer) {
        pull.take[peer] = {0, {0, part(peer).count()}, out + part(peer).begin};
      }
      break;
    case Collective::kBroadcast: {
      const Share whole{0, call.out.count * element};
      pull.longest_block = whole.count();
      if (rank() == call.root) {
        pull.shown = call.out.data;
        pull.blocks = {whole};
      } else {
        pull.take[call.root] = {0, whole, out};
      }
      break;
    }
    case Collective::kScatter:
      if (rank() == call.root) {
        pull.shown = call.in.data;
        show_all_parts();
      }
      pull.take[call.root] = {rank(), part(rank()), out};
      break;
    default:  // kAllToAll of equal parts
      pull.shown = call.in.data;
      show_all_parts();
      for (int peer = 0; peer < size(); ++peer) {
        pull.take[peer] = {rank(), part(rank()), out + part(peer).begin};
      }
      pull.overwrites_shown = call.in.data == call.out.data;
  }
  return pull;
}

absl::Status ShmEngine::RunPull(const Pull& pull, const RunContext& context) {
  const void* const shown[] = {pull.shown};
  const absl::Span<const void* const> inputs(shown, pull.blocks.empty() ? 0 : 1);
  CallSlot& slot = ShowSlot(inputs, pull.blocks.empty() ? 0 : pull.blocks.back().end, nullptr, 0);
  if (pull.overwrites_shown) slot.inputs_direct = 0;
  RETURN_IF_ERROR(group_.Begin(context.descriptor));
  bool direct = true;
  for (int peer = 0; peer < size(); ++peer) direct = direct && group_.SlotOf(peer).inputs_direct != 0;
  return direct ? PullDirect(pull) : PullStaged(pull);
}

absl::Status ShmEngine::PullDirect(const Pull& pull) {
  for (int k = 0; k < size(); ++k) {
    const int peer = (rank() + k) % size();
    const Pull::Take& take = pull.take[peer];
    if (take.index < 0) continue;
    const size_t bytes = take.block.count();
    const std::byte* from = group_.At(peer, group_.SlotOf(peer).offsets[0] + take.block.begin, bytes);
    if (from == nullptr)
      return PeerError(absl::StrCat("rank ", group_.NameOf(peer), " named memory that it has not"));
    CopyBytes(take.into, from, bytes, bytes >= kLargeBytes ? Stores::kStreaming : Stores::kCached);
  }
  return group_.Barrier("copy");
}

absl::Status ShmEngine::PullStaged(const Pull& pull) {
  // Equal on all ranks, whatever each shows: at most `size` blocks, each with a place of `piece` bytes.
  const size_t piece = std::max<size_t>(64, kStageBytes / size() / 64 * 64);
  const auto piece_of = [&](Share block, size_t begin) {
    return Share{std::min(block.begin + begin, block.end), std::min(block.begin + begin + piece, block.end)};
  };
  int parity = 0;
  for (size_t begin = 0; begin < pull.longest_block; begin += piece, parity ^= 1) {
    const size_t area = kStageInOffset + parity * kStageBytes;
    for (size_t i = 0; i < pull.blocks.size(); ++i) {
      const Share bytes = piece_of(pull.blocks[i], begin);
      CopyBytes(group_.At(rank(), area + i * piece, piece),
                static_cast<const std::byte*>(pull.shown) + bytes.begin, bytes.count(),
                StagedStores(bytes.count()));
    }
    RETURN_IF_ERROR(group_.Barrier("show"));
    for (int k = 0; k < size(); ++k) {
      const int peer = (rank() + k) % size();
      const Pull::Take& take = pull.take[peer];
      if (take.index < 0) continue;
      CopyBytes(static_cast<std::byte*>(take.into) + begin, group_.At(peer, area + take.index * piece, piece),
                piece_of(take.block, begin).count());
    }
  }
  return group_.Barrier("copy");
}

}  // namespace lockstep::comm
