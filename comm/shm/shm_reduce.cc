// The reductions of ShmEngine.
#include <algorithm>

#include "comm/shm/shm_engine.h"

namespace lockstep::comm {
namespace {

// Up to this many bytes a rank every rank reduces everything by itself: there is one barrier in place of
// three, which is worth more where ranks share cores.
constexpr size_t kOneShotAloneBytes = size_t{2} << 10, kOneShotCrowdedBytes = size_t{32} << 10;
// A segment of a direct two-shot, over all shares. Small enough that a rank's results are still in the shared
// cache when the others copy them, large enough to hide the barriers.
constexpr size_t kSegmentBytes = size_t{1} << 20;
// From here on all ranks' data together is far larger than the caches.
constexpr size_t kLargeBytes = size_t{16} << 20;

size_t RoundDown(size_t value, size_t step) { return std::max(step, value / step * step); }

}  // namespace

absl::Status ShmEngine::ReduceEverywhere(const Call& call, const RunContext& context) {
  const ReductionPlan& plan = plans_.For(call, size());
  Reduction reduction;
  reduction.plan = &plan;
  reduction.inputs = InputsOf(call);
  reduction.count = call.kind == Collective::kReduceLanes ? call.out.count : call.in.count;
  reduction.element_bytes = SizeOf(call.dtype());
  reduction.everyone = call.kind != Collective::kReduce;
  reduction.out = reduction.everyone || rank() == call.root ? call.out.data : nullptr;
  const size_t bytes = reduction.count * reduction.element_bytes;
  const bool fits = bytes * plan.most_inputs <= kOneShotBytes;
  const bool one_shot =
      call.algorithm == Algorithm::kOneShot ||
      (call.algorithm == Algorithm::kAuto &&
       bytes * plan.most_inputs <= (group_.crowded() ? kOneShotCrowdedBytes : kOneShotAloneBytes));
  // One-shot of more than the area holds would only be a slower two-shot.
  return one_shot && fits ? OneShot(reduction, context) : TwoShot(reduction, context);
}

absl::Status ShmEngine::OneShot(const Reduction& reduction, const RunContext& context) {
  const size_t bytes = reduction.count * reduction.element_bytes;
  // The next collective's parity: Begin counts it. Who still reads this area is two collectives behind, which
  // cannot be.
  const size_t area = kOneShotOffset + static_cast<size_t>(1 - group_.Parity()) * kOneShotBytes;
  std::byte* staged = group_.At(rank(), area, kOneShotBytes);
  for (const void* input : reduction.inputs) {
    CopyBytes(staged, input, bytes);
    staged += bytes;
  }
  CallSlot slot;
  slot.descriptor = context.descriptor;
  slot.inputs_direct = slot.result_direct = 0;
  slot.offsets[kMaxParts] = 0;
  RETURN_IF_ERROR(group_.Begin(slot, 0));
  if (reduction.out == nullptr || bytes == 0) return absl::OkStatus();
  const size_t parts = reduction.plan->inputs.size();
  Pointers<const void*> inputs(parts);
  for (size_t i = 0; i < parts; ++i) {
    const ReductionPlan::Input& input = reduction.plan->inputs[i];
    inputs[i] = group_.At(input.owner, area + input.index * bytes, bytes);
  }
  reduction.plan->program->Run(inputs.data(), reduction.out, reduction.count);
  return absl::OkStatus();
}

absl::Status ShmEngine::TwoShot(const Reduction& reduction, const RunContext& context) {
  const size_t bytes = reduction.count * reduction.element_bytes;
  const CallSlot slot = SlotFor(context, reduction.inputs, bytes, reduction.out, bytes);
  RETURN_IF_ERROR(group_.Begin(slot, reduction.inputs.size()));
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
  if (!inputs_direct || !results_direct) return TwoShotStaged(reduction, inputs);
  Pointers<std::byte*> results;
  for (int peer = 0; peer < size(); ++peer) {
    results.push_back(group_.At(peer, group_.SlotOf(peer).offsets[kMaxParts], bytes));
    if (results.back() == nullptr)
      return PeerError(absl::StrCat("rank ", group_.NameOf(peer), " named memory that it has not"));
  }
  return TwoShotDirect(reduction, inputs, results);
}

// In place is safe: only the owner of a share reads that share of the inputs, and a rank overwrites other
// ranks' shares of its own result only after those have come to the barrier that follows their reading.
//
// Stores go around the caches where a peer has read the lines before: taking a line back from another core's
// cache costs more than memory does, several times more where the cores share no cache. In place those are
// the copied shares (their owners have just read them), otherwise the reduced ones (the peers copied them in
// the call before).
absl::Status ShmEngine::TwoShotDirect(const Reduction& reduction, const Pointers<const std::byte*>& inputs,
                                      const Pointers<std::byte*>& results) {
  const size_t element = reduction.element_bytes;
  const size_t segment = RoundDown(kSegmentBytes / element, size_t{16} * size());
  const bool in_place = std::find(inputs.begin(), inputs.end(), results[rank()]) != inputs.end();
  const bool large = reduction.count * element >= kLargeBytes;
  const Stores reduced = in_place ? Stores::kCached : Stores::kStreaming;
  const Stores copied = in_place || large ? Stores::kStreaming : Stores::kCached;
  Pointers<const void*> at(inputs.size());
  const auto reduce = [&](size_t begin) {
    const Share mine = ShareOf(std::min(segment, reduction.count - begin), rank(), size());
    const size_t offset = (begin + mine.begin) * element;
    for (size_t i = 0; i < inputs.size(); ++i) at[i] = inputs[i] + offset;
    reduction.plan->program->Run(at.data(), results[rank()] + offset, mine.count(), reduced);
    group_.Arrive();
  };
  if (reduction.count > 0) reduce(0);
  for (size_t begin = 0; begin < reduction.count; begin += segment) {
    // One segment ahead, so that a peer's short delay is not waited for.
    const bool more = begin + segment < reduction.count;
    if (more) reduce(begin + segment);
    RETURN_IF_ERROR(group_.Await("reduce", more ? 1 : 0));
    for (int k = 1; k < size(); ++k) {
      const int peer = (rank() + k) % size();
      const Share theirs = ShareOf(std::min(segment, reduction.count - begin), peer, size());
      const size_t offset = (begin + theirs.begin) * element;
      CopyBytes(results[rank()] + offset, results[peer] + offset, theirs.count() * element, copied);
    }
  }
  return group_.Barrier("copy");
}

// By pieces: every rank shows the shares that others reduce, reduces its own share, shows that, and takes the
// others'.
absl::Status ShmEngine::TwoShotStaged(const Reduction& reduction,
                                      const Pointers<const std::byte*>& direct_inputs) {
  const bool direct = !direct_inputs.empty();
  const size_t element = reduction.element_bytes, parts = reduction.plan->inputs.size();
  const size_t piece = RoundDown(kStageBytes / (direct ? 1 : reduction.plan->most_inputs) / element, 16);
  Pointers<const void*> at(parts);
  int parity = 0;
  for (size_t begin = 0; begin < reduction.count; begin += piece, parity ^= 1) {
    const size_t n = std::min(piece, reduction.count - begin);
    const size_t area_in = kStageInOffset + parity * kStageBytes,
                 area_out = kStageOutOffset + parity * kStageBytes;
    const Share mine = ShareOf(n, rank(), size());
    if (!direct) {
      for (size_t p = 0; p < reduction.inputs.size(); ++p) {
        const auto* from = static_cast<const std::byte*>(reduction.inputs[p]) + begin * element;
        std::byte* to = group_.At(rank(), area_in + p * n * element, n * element);
        CopyBytes(to, from, mine.begin * element,
                  StagedStores(n * element));  // what others reduce: before and after the own share
        CopyBytes(to + mine.end * element, from + mine.end * element, (n - mine.end) * element,
                  StagedStores(n * element));
      }
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
                                 StagedStores(n * element));
    RETURN_IF_ERROR(group_.Barrier("reduce"));
    for (int k = 0; k < size() && reduction.out != nullptr; ++k) {
      const int peer = (rank() + k) % size();
      const Share theirs = ShareOf(n, peer, size());
      CopyBytes(static_cast<std::byte*>(reduction.out) + (begin + theirs.begin) * element,
                group_.At(peer, area_out + theirs.begin * element, theirs.count() * element),
                theirs.count() * element);
    }
  }
  // Nobody may reuse the areas, or its inputs, while another rank still reads them.
  return group_.Barrier("copy");
}

absl::Status ShmEngine::ReduceScatter(const Call& call, const RunContext& context) {
  const ReductionPlan& plan = plans_.For(call, size());
  const size_t element = SizeOf(call.dtype()), bytes = PartOf(call, size() - 1, size()).end * element;
  const Pointers<const void*> inputs = InputsOf(call);  // this rank's
  RETURN_IF_ERROR(group_.Begin(SlotFor(context, inputs, bytes, nullptr, 0), inputs.size()));
  bool direct = true;
  for (int peer = 0; peer < size(); ++peer) direct = direct && group_.SlotOf(peer).inputs_direct != 0;
  if (!direct) return ReduceScatterStaged(call, plan, inputs);
  const Share own = PartOf(call, rank(), size());
  Pointers<const void*> at;
  for (const auto& [owner, index] : plan.inputs) {
    const std::byte* base = group_.At(owner, group_.SlotOf(owner).offsets[index], bytes);
    if (base == nullptr) {
      return PeerError(absl::StrCat("rank ", group_.NameOf(owner), " named memory that it has not"));
    }
    at.push_back(base + own.begin * element);
  }
  plan.program->Run(at.data(), call.out.data, call.out.count);
  return group_.Barrier("reduce");
}

// Each input of a rank has a place for each part in that rank's area.
absl::Status ShmEngine::ReduceScatterStaged(const Call& call, const ReductionPlan& plan,
                                            const Pointers<const void*>& inputs) {
  const size_t element = SizeOf(call.dtype()), places = static_cast<size_t>(plan.most_inputs) * size();
  const size_t piece = RoundDown(kStageBytes / places / element, 16), longest = LongestPart(call, size());
  const size_t place_bytes = piece * element;
  const auto piece_of = [&](int rank, size_t begin) {
    const Share part = PartOf(call, rank, size());
    return Share{std::min(part.begin + begin, part.end), std::min(part.begin + begin + piece, part.end)};
  };
  Pointers<const void*> at(plan.inputs.size());
  int parity = 0;
  for (size_t begin = 0; begin < longest; begin += piece, parity ^= 1) {
    const size_t area = kStageInOffset + parity * kStageBytes;
    const Share mine = piece_of(rank(), begin);
    for (size_t i = 0; i < inputs.size(); ++i) {
      for (int peer = 0; peer < size(); ++peer) {
        if (peer == rank()) continue;
        const Share theirs = piece_of(peer, begin);
        CopyBytes(group_.At(rank(), area + (i * size() + peer) * place_bytes, place_bytes),
                  static_cast<const std::byte*>(inputs[i]) + theirs.begin * element, theirs.count() * element,
                  StagedStores(theirs.count() * element));
      }
    }
    RETURN_IF_ERROR(group_.Barrier("show"));
    for (size_t i = 0; i < plan.inputs.size(); ++i) {
      const auto [owner, index] = plan.inputs[i];
      at[i] = owner == rank()
                  ? static_cast<const std::byte*>(inputs[index]) + mine.begin * element
                  : group_.At(owner, area + (index * size() + rank()) * place_bytes, mine.count() * element);
    }
    plan.program->Run(at.data(), static_cast<std::byte*>(call.out.data) + begin * element, mine.count());
  }
  return group_.Barrier("reduce");
}

}  // namespace lockstep::comm
