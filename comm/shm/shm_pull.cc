// The collectives of ShmEngine that move data without arithmetic.
#include <algorithm>

#include "comm/shm/shm_engine.h"

namespace lockstep::comm {
namespace {

constexpr size_t kLargeBytes = size_t{16} << 20;  // far larger than the caches

}  // namespace

ShmEngine::Pull ShmEngine::PullOf(const Call& call) const {
  Pull pull;
  const size_t element = call.kind == Collective::kGather ? SizeOf(call.in.dtype) : SizeOf(call.out.dtype);
  auto* const out = static_cast<std::byte*>(call.out.data);
  pull.take.assign(size(), -1);
  pull.into.assign(size(), nullptr);
  const auto take_all = [&](int block) {
    for (int peer = 0; peer < size(); ++peer) {
      pull.take[peer] = block;
      pull.into[peer] = out + peer * pull.block_bytes;
    }
  };
  switch (call.kind) {
    case Collective::kAllGather:
    case Collective::kGather:
      pull.shown = call.in.data;
      pull.shown_blocks = 1;
      pull.block_bytes = call.in.count * element;
      if (call.kind == Collective::kAllGather || rank() == call.root) take_all(0);
      break;
    case Collective::kBroadcast:
      pull.block_bytes = call.out.count * element;
      if (rank() == call.root) {
        pull.shown = call.out.data;
        pull.shown_blocks = 1;
      } else {
        pull.take[call.root] = 0;
        pull.into[call.root] = out;
      }
      break;
    case Collective::kScatter:
      pull.block_bytes = call.out.count * element;
      if (rank() == call.root) {
        pull.shown = call.in.data;
        pull.shown_blocks = size();
      }
      pull.take[call.root] = rank();
      pull.into[call.root] = out;
      break;
    default:  // kAllToAll
      pull.shown = call.in.data;
      pull.shown_blocks = size();
      pull.block_bytes = call.in.count / size() * element;
      take_all(rank());
      pull.overwrites_shown = call.in.data == call.out.data;
  }
  return pull;
}

absl::Status ShmEngine::RunPull(const Pull& pull, const RunContext& context) {
  const void* const shown[] = {pull.shown};
  const absl::Span<const void* const> inputs(shown, pull.shown_blocks > 0 ? 1 : 0);
  CallSlot slot = SlotFor(context, inputs, pull.shown_blocks * pull.block_bytes, nullptr, 0);
  if (pull.overwrites_shown) slot.inputs_direct = 0;
  RETURN_IF_ERROR(group_.Begin(slot, inputs.size()));
  bool direct = true;
  for (int peer = 0; peer < size(); ++peer) direct = direct && group_.SlotOf(peer).inputs_direct != 0;
  return direct ? PullDirect(pull) : PullStaged(pull);
}

absl::Status ShmEngine::PullDirect(const Pull& pull) {
  for (int k = 0; k < size(); ++k) {
    const int peer = (rank() + k) % size();
    if (pull.take[peer] < 0) continue;
    const uint64_t offset = group_.SlotOf(peer).offsets[0] + pull.take[peer] * pull.block_bytes;
    const std::byte* from = group_.At(peer, offset, pull.block_bytes);
    if (from == nullptr) return PeerError(absl::StrCat("rank ", peer, " named memory that it has not"));
    CopyBytes(pull.into[peer], from, pull.block_bytes,
              pull.block_bytes >= kLargeBytes ? Stores::kStreaming : Stores::kCached);
  }
  return group_.Barrier("copy");
}

absl::Status ShmEngine::PullStaged(const Pull& pull) {
  // Equal on all ranks, whatever each shows: at most `size` blocks.
  const size_t piece = std::max<size_t>(64, kStageBytes / size() / 64 * 64);
  int parity = 0;
  for (size_t begin = 0; begin < pull.block_bytes; begin += piece, parity ^= 1) {
    const size_t n = std::min(piece, pull.block_bytes - begin);
    const size_t area = kStageInOffset + parity * kStageBytes;
    for (size_t block = 0; block < pull.shown_blocks; ++block) {
      CopyBytes(group_.At(rank(), area + block * n, n),
                static_cast<const std::byte*>(pull.shown) + block * pull.block_bytes + begin, n,
                StagedStores(n));
    }
    RETURN_IF_ERROR(group_.Barrier("show"));
    for (int k = 0; k < size(); ++k) {
      const int peer = (rank() + k) % size();
      if (pull.take[peer] < 0) continue;
      CopyBytes(static_cast<std::byte*>(pull.into[peer]) + begin,
                group_.At(peer, area + pull.take[peer] * n, n), n);
    }
  }
  return group_.Barrier("copy");
}

}  // namespace lockstep::comm
