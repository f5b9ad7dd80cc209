// After a change of membership, with a sharded optimizer: as takeover.h, and every shard is dealt anew.
//
// A rank that is behind still has its shard of the gradient (StateShards::Keep) and applies it: once anyone has
// updated, there is no way back, since moments are updated in place. Then the parameters that did not get through
// are sent again, and the moments go from those who hold them, owners or mirrors, to their new owners. A shard of
// which both are gone is lost, and with it the step: the run goes back to its newest checkpoint.
#ifndef LOCKSTEP_RUNTIME_TRAIN_SHARD_TAKEOVER_H_
#define LOCKSTEP_RUNTIME_TRAIN_SHARD_TAKEOVER_H_

#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "runtime/core/fault_points.h"
#include "runtime/core/status.h"
#include "runtime/train/lane_team.h"
#include "runtime/train/run_point.h"
#include "runtime/train/state_shards.h"
#include "runtime/train/takeover.h"

namespace lockstep::train {

// What of the moments one rank holds, and how a change goes on from there. A change that fails leaves old and new
// shards, if it had got that far: another rank may have let go of the old ones.
struct ShardHoldings {
  ModelState* state = nullptr;          // borrowed
  std::unique_ptr<StateShards> shards;  // of state's moments; null: nothing is held
  std::unique_ptr<StateShards> spare;   // of a change that failed at its end
  std::vector<AlignedBuffer<float>> spare_moments;
  int64_t spare_step = -1;
};

// What does not change.
struct ShardSetting {
  std::vector<Bucket> buckets;
  bool mirrored = false;  // shards are kept by two ranks
  int micro_batches = 1;  // of a step
};

// A collective: deals the moments, of which `holds` says what each rank has, to the first `ranks` ranks. On success
// holdings->shards is this rank's (null where it gets none). Error: the communicator's.
absl::Status DealAnew(comm::Communicator& communicator, const ShardSetting& setting,
                      absl::Span<const ElementRanges> holds, int ranks, int64_t step,
                      ShardHoldings* holdings);

// The same before ranks leave on purpose: everyone holds its shard of this generation.
absl::Status HandShardsOver(comm::Communicator& communicator, const ShardSetting& setting, int ranks,
                            int64_t step, ShardHoldings* holdings);

// As TakeOver. `optimizer`: of holdings->shards; null where there are none. When the report says `lost`, nothing was
// taken, and `point` says so too.
absl::StatusOr<TakeoverReport> TakeOverShards(comm::Communicator& communicator, const ShardSetting& setting,
                                              Optimizer* optimizer, LaneTeam& team, ShardHoldings* holdings,
                                              RunPoint* point, FaultPoints* faults);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_SHARD_TAKEOVER_H_
