// ShmEngine: every rank reduces its share and takes the others'.
#include <algorithm>
#include <cerrno>

#include "comm/shm/cross_memory.h"
#include "comm/shm/direct_two_shot.h"
#include "comm/shm/shm_engine.h"

namespace lockstep::comm {
namespace {

// Up to this many bytes peers take results from staging areas although all results are in peer buffers: one
// barrier less, for a copy more of the own share.
constexpr size_t kResultsStagedAloneBytes = 0, kResultsStagedCrowdedBytes = kStageBytes;

// Where peers' ordinary memory can be read, that is faster than staging it between these sizes: below, the
// calls cost more than a copy; above, what is read has left the caches, which staging by pieces avoids.
constexpr size_t kCrossFromBytes = size_t{128} << 10, kCrossToBytes = size_t{8} << 20;
constexpr size_t kCrossPieceBytes = size_t{256} << 10;  // of all peers' inputs together

}  // namespace

absl::Status ShmEngine::TwoShot(const Reduction& reduction, const RunContext& context) {
  const size_t bytes = reduction.count * reduction.element_bytes;
  CallSlot& slot = ShowSlot(reduction.inputs, bytes, reduction.out, bytes);
  // In the hope that all stage; who has it in peer buffers does so later otherwise.
  if (slot.inputs_direct == 0 && !(slot.crosses != 0 && WorthCrossing(reduction))) {
    StagePiece(reduction, 0, 0);
    slot.staged = 1;
  }
  RETURN_IF_ERROR(group_.Begin(context.descriptor));
  return TwoShotBegun(reduction);
}

// Every rank's slot is there.
absl::Status ShmEngine::TwoShotBegun(const Reduction& reduction) {
  const size_t bytes = reduction.count * reduction.element_bytes;
  bool inputs_direct = true, results_direct = reduction.everyone;
  for (int peer = 0; peer < size(); ++peer) {
    inputs_direct = inputs_direct && group_.SlotOf(peer).inputs_direct != 0;
    results_direct = results_direct && group_.SlotOf(peer).result_direct != 0;
  }
  Pointers<const std::byte*> inputs;
  if (inputs_direct) {
    for (const auto& [owner, index] : reduction.plan->inputs) {
      inputs.push_back(group_.At(owner, group_.SlotOf(owner).offsets[index], bytes));
      if (inputs.back() == nullptr)
        return PeerError(absl::StrCat("rank ", group_.NameOf(owner), " named memory that it has not"));
    }
  }
  if (!inputs_direct || !results_direct) {
    bool cross = WorthCrossing(reduction);
    for (int peer = 0; peer < size(); ++peer) cross = cross && group_.SlotOf(peer).crosses != 0;
    return cross ? TwoShotCross(reduction) : TwoShotStaged(reduction, inputs);
  }
  if (bytes <= (group_.crowded() ? kResultsStagedCrowdedBytes : kResultsStagedAloneBytes)) {
    return TwoShotStaged(reduction, inputs);
  }
  Pointers<std::byte*> results;
  for (int peer = 0; peer < size(); ++peer) {
    results.push_back(group_.At(peer, group_.SlotOf(peer).result, bytes));
    if (results.back() == nullptr)
      return PeerError(absl::StrCat("rank ", group_.NameOf(peer), " named memory that it has not"));
  }
  return TwoShotDirect(reduction, inputs, results);
}

absl::Status ShmEngine::TwoShotDirect(const Reduction& reduction, const Pointers<const std::byte*>& inputs,
                                      const Pointers<std::byte*>& results) {
  struct Sync {
    ShmGroup& group;
    void Arrive() { group.Arrive(); }
    absl::Status Await(uint32_t behind) { return group.Await("reduce", behind); }
  };
  const DirectTwoShot steps{*reduction.plan->program, inputs, results, rank(), size(), reduction.count,
                            reduction.element_bytes};
  RETURN_IF_ERROR(steps.Run(Sync{group_}));
  return group_.Barrier("copy");
}

absl::Status ShmEngine::ReadPeer(int peer, bool direct, uint64_t at, void* to, size_t size_bytes) {
  if (direct) {
    const std::byte* const from = group_.At(peer, at, size_bytes);
    if (from == nullptr) return PeerError(absl::StrCat("rank ", peer, " named memory that it has not"));
    CopyBytes(to, from, size_bytes);
    return absl::OkStatus();
  }
  if (ReadOfProcess(group_.control(peer).pid, at, to, size_bytes)) return absl::OkStatus();
  return PeerError(ErrnoText(absl::StrCat("the memory of rank ", peer, " cannot be read any more"), errno));
}

// As TwoShotDirect, in one segment: in place is as safe.
absl::Status ShmEngine::TwoShotCross(const Reduction& reduction) {
  const size_t element = reduction.element_bytes, parts = reduction.plan->inputs.size();
  const Share mine = ShareOf(reduction.count, rank(), size());
  const size_t piece = RoundDown(kCrossPieceBytes / parts / element, 16);
  crossed_.resize(std::max(crossed_.size(), parts * piece * element));
  auto* const out = static_cast<std::byte*>(reduction.out);
  Pointers<const void*> at(parts);
  for (size_t begin = mine.begin; begin < mine.end; begin += piece) {
    const size_t n = std::min(piece, mine.end - begin), offset = begin * element;
    for (size_t i = 0; i < parts; ++i) {
      const auto [owner, index] = reduction.plan->inputs[i];
      if (owner == rank()) {
        at[i] = static_cast<const std::byte*>(reduction.inputs[index]) + offset;
        continue;
      }
      const CallSlot& slot = group_.SlotOf(owner);
      const uint64_t from = slot.offsets[index] + offset;
      if (slot.inputs_direct != 0) at[i] = group_.At(owner, from, n * element);
      if (slot.inputs_direct != 0 && at[i] != nullptr) continue;
      std::byte* const to = crossed_.data() + i * piece * element;
      RETURN_IF_ERROR(ReadPeer(owner, slot.inputs_direct != 0, from, to, n * element));
      at[i] = to;
    }
    reduction.plan->program->Run(at.data(), out + offset, n);
  }
  RETURN_IF_ERROR(group_.Barrier("reduce"));
  for (int k = 1; k < size(); ++k) {
    const int peer = (rank() + k) % size();
    const CallSlot& slot = group_.SlotOf(peer);
    const Share theirs = ShareOf(reduction.count, peer, size());
    const size_t offset = theirs.begin * element;
    RETURN_IF_ERROR(ReadPeer(peer, slot.result_direct != 0, slot.result + offset, out + offset,
                             theirs.count() * element));
  }
  return group_.Barrier("copy");
}

bool ShmEngine::WorthCrossing(const Reduction& reduction) {
  const size_t bytes = reduction.count * reduction.element_bytes;
  return reduction.everyone && bytes >= kCrossFromBytes && bytes < kCrossToBytes;
}

// Elements of a piece of staged inputs, the same on all ranks.
size_t ShmEngine::StagedPiece(const Reduction& reduction) {
  return RoundDown(kStageBytes / reduction.plan->most_inputs / reduction.element_bytes, 16);
}

// Shows what others reduce of a piece: before and after the own share.
void ShmEngine::StagePiece(const Reduction& reduction, size_t begin, int parity) {
  const size_t element = reduction.element_bytes;
  const size_t n = std::min(StagedPiece(reduction), reduction.count - begin);
  const Share mine = ShareOf(n, rank(), size());
  for (size_t p = 0; p < reduction.inputs.size(); ++p) {
    const auto* from = static_cast<const std::byte*>(reduction.inputs[p]) + begin * element;
    std::byte* to = group_.At(rank(), kStageInOffset + parity * kStageBytes + p * n * element, n * element);
    CopyBytes(to, from, mine.begin * element, StagedStores(n * element));
    CopyBytes(to + mine.end * element, from + mine.end * element, (n - mine.end) * element,
              StagedStores(n * element));
  }
}

// By pieces: every rank shows the shares that others reduce, reduces its own share, shows that, and takes the
// others'.
//
// Nobody waits for those who still take the last piece's results: what they read is written again only after
// the next collective's first barrier, to which they come. Inputs are read before the last barrier.
absl::Status ShmEngine::TwoShotStaged(const Reduction& reduction,
                                      const Pointers<const std::byte*>& direct_inputs) {
  const bool direct = !direct_inputs.empty();
  const size_t element = reduction.element_bytes, parts = reduction.plan->inputs.size();
  // The two areas of a call in one piece are not large: better left in the caches.
  const bool around = !direct || reduction.count * element > kStageBytes;
  const size_t piece = direct ? RoundDown(kStageBytes / element, 16) : StagedPiece(reduction);
  bool all_staged = true;  // the first piece
  for (int peer = 0; peer < size(); ++peer) all_staged = all_staged && group_.SlotOf(peer).staged != 0;
  const bool staged = group_.SlotOf(rank()).staged != 0;
  Pointers<const void*> at(parts);
  int parity = 0;
  for (size_t begin = 0; begin < reduction.count; begin += piece, parity ^= 1) {
    const size_t n = std::min(piece, reduction.count - begin);
    const size_t area_in = kStageInOffset + parity * kStageBytes,
                 area_out = kStageOutOffset + parity * kStageBytes;
    const Share mine = ShareOf(n, rank(), size());
    if (!direct && (begin > 0 || !all_staged)) {
      if (begin > 0 || !staged) StagePiece(reduction, begin, parity);
      RETURN_IF_ERROR(group_.Barrier("show"));
    }
    for (size_t i = 0; i < parts; ++i) {
      const auto [owner, index] = reduction.plan->inputs[i];
      if (direct) {
        at[i] = direct_inputs[i] + (begin + mine.begin) * element;
      } else if (owner == rank()) {
        at[i] = static_cast<const std::byte*>(reduction.inputs[index]) + (begin + mine.begin) * element;
      } else {
        at[i] = group_.At(owner, area_in + (index * n + mine.begin) * element, mine.count() * element);
      }
    }
    std::byte* shown = group_.At(rank(), area_out, kStageBytes);
    reduction.plan->program->Run(at.data(), shown + mine.begin * element, mine.count(),
                                 around ? StagedStores(n * element) : Stores::kCached);
    RETURN_IF_ERROR(group_.Barrier("reduce"));
    for (int k = 0; k < size() && reduction.out != nullptr; ++k) {
      const int peer = (rank() + k) % size();
      const Share theirs = ShareOf(n, peer, size());
      CopyBytes(static_cast<std::byte*>(reduction.out) + (begin + theirs.begin) * element,
                group_.At(peer, area_out + theirs.begin * element, theirs.count() * element),
                theirs.count() * element);
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep::comm
