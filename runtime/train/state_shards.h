// Where the state of a sharded optimizer lies in one generation, as one rank sees it.
//
// A step: the reduce-scatter gives this rank its shard of the gradient (and, mirrored, that of the rank before it);
// then comes the vote; then each rank updates its shard, and an all-gather brings everyone the parameters. From the
// first update on there is no way back, since the moments of the step before are gone. So a rank whose vote failed
// keeps its shard of the gradient until it knows whether another rank applied it (shard_takeover.h).
#ifndef LOCKSTEP_RUNTIME_TRAIN_STATE_SHARDS_H_
#define LOCKSTEP_RUNTIME_TRAIN_STATE_SHARDS_H_

#include <cstdint>
#include <vector>

#include "runtime/core/aligned_buffer.h"
#include "runtime/train/bucket_plan.h"
#include "runtime/train/model_state.h"
#include "runtime/train/optimizer.h"
#include "runtime/train/shard_plan.h"

namespace lockstep::train {

class StateShards {
 public:
  // `ranks` 0: of a newcomer, which holds nothing yet.
  StateShards(const graph::ParameterLayout& layout, absl::Span<const Bucket> buckets, int rank, int ranks,
              bool mirrored)
      : plan_(layout, buckets, ranks), rank_(rank), mirrored_(mirrored && ranks > 1) {}

  const ShardPlan& plan() const { return plan_; }
  int rank() const { return rank_; }
  bool mirrored() const { return mirrored_; }
  // What any rank of this generation holds.
  ElementRanges HeldBy(int rank) const { return plan_.Held(rank, mirrored_); }
  OptimizerShard OfThisRank() const { return {plan_.Owned(rank_), HeldRanges(HeldBy(rank_))}; }
  // The buckets of parameters, whole: windows for MoveRanges.
  ElementRanges Windows() const {
    ElementRanges windows;
    for (int bucket = 0; bucket < plan_.buckets(); ++bucket) windows.push_back(plan_.Whole(bucket));
    return windows;
  }

  // Whether all parameters (and the moving average) are those after the last step that this rank committed, not
  // its own shard's alone.
  bool parameters_whole() const { return parameters_whole_; }
  void SetParametersWhole(bool whole) { parameters_whole_ = whole; }

  // Keeps this rank's part of a step's reduced gradient, and of side results all. `step` counts from 1.
  void Keep(int64_t step, const float* gradient, const float* deltas, size_t delta_elements);
  // The step that a gradient is kept of; -1: none.
  int64_t kept_step() const { return kept_step_; }
  // Flat; only what this rank holds means anything.
  const float* kept_gradient() const { return kept_gradient_.data(); }
  const float* kept_deltas() const { return kept_deltas_.data(); }

 private:
  ShardPlan plan_;
  int rank_;
  bool mirrored_;
  bool parameters_whole_ = true;
  int64_t kept_step_ = -1;
  AlignedBuffer<float> kept_gradient_, kept_deltas_;
};

// Every rank's `needs` of moment `moment`, taken from those who own it; a collective. `write` as of MoveRanges.
absl::Status CollectMoment(comm::Communicator& communicator, const StateShards& shards,
                           const ModelState& state, int moment, absl::Span<const ElementRanges> needs,
                           const WriteRange& write);

// Which ranges of each moment each rank writes in a checkpoint of `shards` files that `ranks` ranks write together
// (checkpoint_parts.h): by moment, then rank. Pure; whole tensors.
std::vector<std::vector<ElementRanges>> MomentsOfWriters(const ModelState& state, const TrainTensors& tensors,
                                                         int shards, int ranks);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_STATE_SHARDS_H_
