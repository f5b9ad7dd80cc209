// The reductions of ShmEngine: which way, and all at once. The two-shots are in shm_two_shot.cc.
#include <algorithm>
#include <cstring>

#include "comm/shm/shm_engine.h"

namespace lockstep::comm {
namespace {

// Up to this many bytes a rank every rank reduces everything by itself: there is one barrier in place of
// three, which is worth more where ranks share cores.
constexpr size_t kOneShotAloneBytes = size_t{4} << 10, kOneShotCrowdedBytes = size_t{32} << 10;

// The same where data would have to be staged for a two-shot too.
constexpr size_t kOneShotStagedBytes = size_t{16} << 10;

}  // namespace

std::string ShmEngine::DescribeChoices() const {
  const size_t always = group_.crowded() ? kOneShotCrowdedBytes : kOneShotAloneBytes;
  return absl::StrCat("shared memory, ", group_.crowded() ? "more ranks than cores" : "a core for every rank",
                      ":\n  all_reduce, reduce_lanes, reduce: one_shot, two_shot from ", always + 1,
                      " bytes (of all lane parts of a rank; in ordinary memory from ",
                      std::max(always, kOneShotStagedBytes) + 1,
                      ")\n  the others: pulled from their owners\n");
}

absl::Status ShmEngine::ReduceEverywhere(const Call& call, RunContext& context) {
  const ReductionPlan& plan = plans_.For(call, size());
  const bool everyone = call.kind != Collective::kReduce;
  const Reduction reduction{
      .inputs = InputsOf(call),
      .out = everyone || rank() == call.root ? call.out.data : nullptr,
      .count = call.kind == Collective::kReduceLanes ? call.out.count : call.in.count,
      .element_bytes = SizeOf(call.dtype()),
      .plan = &plan,
      .everyone = everyone,
  };
  const size_t bytes = reduction.count * reduction.element_bytes;
  const size_t staged_bytes = bytes * plan.most_inputs;
  const bool fits = staged_bytes <= kOneShotBytes;  // one-shot of more would only be a slower two-shot
  const bool automatic = call.algorithm == Algorithm::kAuto;
  const size_t always = group_.crowded() ? kOneShotCrowdedBytes : kOneShotAloneBytes;
  if (fits && (call.algorithm == Algorithm::kOneShot || (automatic && staged_bytes <= always))) {
    context.ran = Algorithm::kOneShot;
    return OneShot(reduction, context);
  }
  context.ran = Algorithm::kTwoShot;
  if (automatic && staged_bytes <= kOneShotStagedBytes) return OneShotUnlessDirect(reduction, context);
  return TwoShot(reduction, context);
}

// The area of the collective that comes next: Begin counts it. Who still reads this area is two collectives
// behind, which cannot be.
size_t ShmEngine::NextOneShotArea() const {
  return kOneShotOffset + static_cast<size_t>(1 - group_.Parity()) * kOneShotBytes;
}

void ShmEngine::StageWhole(const Reduction& reduction, std::byte* staged) {
  const size_t bytes = reduction.count * reduction.element_bytes;
  for (const void* input : reduction.inputs) {
    CopyBytes(staged, input, bytes);
    staged += bytes;
  }
}

// `begin_of(rank)`: where that peer's inputs are, one behind the other.
template <typename BeginOf>
void ShmEngine::ReduceWhole(const Reduction& reduction, const BeginOf& begin_of) {
  const size_t bytes = reduction.count * reduction.element_bytes;
  if (reduction.out == nullptr || bytes == 0) return;
  const size_t parts = reduction.plan->inputs.size();
  Pointers<const void*> inputs(parts);
  for (size_t i = 0; i < parts; ++i) {
    const auto [owner, index] = reduction.plan->inputs[i];
    inputs[i] = owner == rank() ? reduction.inputs[index] : begin_of(owner) + index * bytes;
  }
  reduction.plan->program->Run(inputs.data(), reduction.out, reduction.count);
}

void ShmEngine::ReduceStaged(const Reduction& reduction, size_t area) {
  ReduceWhole(reduction,
              [&](int owner) -> const std::byte* { return group_.At(owner, area, kOneShotBytes); });
}

absl::Status ShmEngine::OneShot(const Reduction& reduction, const RunContext& context) {
  const size_t bytes = reduction.count * reduction.element_bytes;
  if (bytes * reduction.plan->most_inputs <= kGreetingBytes) {
    std::byte* payload = group_.NextPayload();
    for (size_t i = 0; i < reduction.inputs.size() && bytes > 0; ++i, payload += bytes) {
      std::memcpy(payload, reduction.inputs[i], bytes);
    }
    RETURN_IF_ERROR(group_.Begin(context.descriptor));
    ReduceWhole(reduction, [&](int owner) { return group_.PayloadOf(owner); });
    return absl::OkStatus();
  }
  const size_t area = NextOneShotArea();
  StageWhole(reduction, group_.At(rank(), area, kOneShotBytes));
  RETURN_IF_ERROR(group_.Begin(context.descriptor));
  ReduceStaged(reduction, area);
  return absl::OkStatus();
}

// For sizes at which a direct two-shot is faster than a one-shot, and that faster than a staged two-shot.
// Whose memory is where shows in the slots only, so who has it elsewhere stages it beforehand, in the hope
// that all do.
absl::Status ShmEngine::OneShotUnlessDirect(const Reduction& reduction, const RunContext& context) {
  const size_t area = NextOneShotArea(), bytes = reduction.count * reduction.element_bytes;
  CallSlot& slot = ShowSlot(reduction.inputs, bytes, reduction.out, bytes);
  if (!reduction.everyone || slot.result_direct == 0) slot.inputs_direct = 0;
  const bool staged = slot.inputs_direct == 0;
  if (staged) StageWhole(reduction, group_.At(rank(), area, kOneShotBytes));
  RETURN_IF_ERROR(group_.Begin(context.descriptor));
  int direct = 0;
  for (int peer = 0; peer < size(); ++peer) direct += group_.SlotOf(peer).inputs_direct != 0 ? 1 : 0;
  if (direct == size()) return TwoShotBegun(reduction);
  if (direct > 0) {
    if (!staged) StageWhole(reduction, group_.At(rank(), area, kOneShotBytes));
    RETURN_IF_ERROR(group_.Barrier("show"));
  }
  ReduceStaged(reduction, area);
  return absl::OkStatus();
}

}  // namespace lockstep::comm
