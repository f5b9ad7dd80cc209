// The part of a step in which the optimizer's state is sharded over the ranks (state_shards.h).
#include <algorithm>
#include <map>
#include <string>

#include "runtime/core/clock.h"
#include "runtime/train/run_point.h"
#include "runtime/train/train_loop.h"

namespace lockstep::train {

// Bucket by bucket: while one is updated the parameters of the one before travel. Never ends half-way: what a
// failing communicator does not carry, the next generation does.
void TrainLoop::UpdateShards(const Replica::Gradient& gradient, const StepUpdate& update) {
  const ShardPlan& plan = parts_.shards->plan();
  const absl::Span<float> parameters = parts_.state->parameters();
  parts_.shards->SetParametersWhole(false);
  gathers_.clear();
  for (int bucket = 0; bucket < plan.buckets(); ++bucket) {
    const ElementRange whole = plan.Whole(bucket), own = plan.Part(bucket, parts_.shards->rank());
    parts_.optimizer->UpdateRange(*parts_.team, gradient.values, update, whole, *parts_.state);
    if (plan.ranks() == 1) continue;
    // Where the gradient was, peers can read it without a copy.
    float* const shown = gradient.values + own.begin;
    std::copy_n(parameters.data() + own.begin, own.size(), shown);
    gathers_.push_back(parts_.communicator->StartAllGatherV(
        comm::BufferOf(absl::MakeConstSpan(shown, own.size())),
        comm::BufferOf(parameters.subspan(whole.begin, whole.size())), plan.Counts(bucket)));
  }
}

absl::Status TrainLoop::CompleteParameters(double* comm_seconds) {
  if (!point_->updated) return absl::OkStatus();
  (void)ReachFault(parts_.faults, "shards.gather");
  TraceSpan span(parts_.trace, "gather", counters_->step);
  const double begin = MonotonicSeconds();
  absl::Status status;
  for (const auto& gather : gathers_) status.Update(gather->Wait());
  gathers_.clear();
  RETURN_IF_ERROR(status);
  *comm_seconds += MonotonicSeconds() - begin;
  parts_.optimizer->UpdateAverages(*parts_.team, *parts_.state);
  parts_.shards->SetParametersWhole(true);
  return absl::OkStatus();
}

// Every rank that writes gets the moments that it writes, as whole tensors.
absl::Status TrainLoop::CollectMoments(TrainTensors* tensors) {
  TraceSpan span(parts_.trace, "collect", counters_->step);
  const ModelState& state = *parts_.state;
  const int rank = parts_.communicator->rank();
  const auto needs = MomentsOfWriters(state, *tensors, parts_.save_shards, parts_.communicator->size());
  std::map<std::string, const float*> found;
  collected_.clear();
  for (int moment = 0; moment < state.moments(); ++moment) {
    const HeldRanges mine(needs[moment][rank]);
    AlignedBuffer<float>& memory = collected_.emplace_back(mine.elements());
    RETURN_IF_ERROR(CollectMoment(*parts_.communicator, *parts_.shards, state, moment, needs[moment],
                                  [&](ElementRange range, const float* from) {
                                    std::copy_n(from, range.size(),
                                                memory.data() + mine.PlaceOf(range.begin));
                                  }));
    for (const auto& entry : state.layout().entries) {
      const auto begin = static_cast<int64_t>(entry.offset);
      const bool here = std::any_of(mine.ranges().begin(), mine.ranges().end(),
                                    [&](const ElementRange& range) { return range.begin == begin; });
      if (here) found[state.MomentName(moment, entry)] = memory.data() + mine.PlaceOf(begin);
    }
  }
  for (NamedTensor& tensor : tensors->optimizer) {
    const auto at = found.find(tensor.name);
    if (at != found.end()) tensor.data = at->second;
  }
  return absl::OkStatus();
}

}  // namespace lockstep::train
