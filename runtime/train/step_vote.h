// The vote that ends a step: one small all-reduce in which every rank says how its lanes went.
//
// It carries each lane's sums to every rank (so that loss and metrics are added in lane order, the same bits
// at any world size) and what ranks must decide together: leave at this step, write a checkpoint, change the membership. Its success
// on a rank shows that every rank holds the whole reduced gradient, since a rank votes only after its own
// reductions.
#ifndef LOCKSTEP_RUNTIME_TRAIN_STEP_VOTE_H_
#define LOCKSTEP_RUNTIME_TRAIN_STEP_VOTE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "comm/communicator.h"
#include "runtime/core/status.h"
#include "runtime/graph/lane_program.h"

namespace lockstep::train {

enum class PauseWish : int { kNone = 0, kPause = 1, kResume = 2 };

// What one rank puts in.
struct Ballot {
  std::vector<graph::LaneResult> lanes;  // of this rank's lanes, in order; sums over their micro-batches
  int signal = 0;                        // this rank was told to leave; 0: not
  bool checkpoint_due = false;           // by this rank's clock; only rank 0's counts
  bool newcomers = false;                // this rank knows of some that wait to be let in
  int size = 0;                          // so many ranks shall remain; 0: no wish; only rank 0's counts
  PauseWish pause = PauseWish::kNone;    // only rank 0's counts
  int64_t damaged = 0;                   // damaged records among this rank's
  uint64_t checksum = 0;                 // of the reduced gradient that this rank holds; 0: not looked at
  // Of the reduced gradient where ranks have shards of it: sums of squares, 0 but where this rank has the element
  // alone. As many on all ranks; borrowed.
  absl::Span<const double> norm_sums = {};
};

// What every rank gets out.
struct Verdict {
  graph::LaneResult sums;  // over all lanes
  int signal = 0;          // the largest that any rank had
  bool checkpoint_due = false;
  bool newcomers = false;  // any rank knows of some
  int64_t damaged = 0;     // damaged records of the step, over all ranks
  int size = 0;
  PauseWish pause = PauseWish::kNone;
  std::vector<double> lane_losses;  // sums, by lane
  std::vector<uint64_t> checksums;  // by rank
  std::vector<double> norm_sums;    // added over ranks, exactly
};

// A collective. `lanes` is 0 in the votes of a run that stands still; `metrics` is the number of metrics of a
// lane. Errors are the communicator's.
absl::StatusOr<Verdict> Vote(comm::Communicator& communicator, int lanes, int metrics, const Ballot& ballot);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_STEP_VOTE_H_
