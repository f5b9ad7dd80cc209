// After a change of membership: brings every rank of the new generation to the furthest point that any of
// them has reached.
//
// A step is pure, and its update is applied only after every rank held the whole reduced gradient, so ranks
// are at most one step apart. Those behind, and new ones, take tensors and point from the furthest; a step that
// nobody applied is simply done again by all. Either way gives the bits of the undisturbed run.
#ifndef LOCKSTEP_RUNTIME_TRAIN_TAKEOVER_H_
#define LOCKSTEP_RUNTIME_TRAIN_TAKEOVER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "comm/communicator.h"
#include "runtime/core/fault_points.h"
#include "runtime/core/status.h"
#include "runtime/train/run_point.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// What happened, the same on all ranks.
struct TakeoverReport {
  int source = 0;           // the furthest rank; the lowest of several
  std::vector<int> behind;  // ranks that took the last step's result from it
  std::vector<int> fresh;   // ranks that had no state
  bool diverged = false;    // some rank knows that states differed: nothing was taken, all are to go back
  bool lost = false;        // nobody who is left holds some of the state (shard_takeover.h): the same
};

// The parts of it. Where each rank stands, by rank; a collective.
absl::StatusOr<std::vector<RunPoint>> ExchangePoints(comm::Communicator& communicator, const RunPoint& point);
// Who is the furthest, who is behind, who has nothing. Error: PeerError when no rank has a state.
absl::StatusOr<TakeoverReport> ComparePoints(absl::Span<const RunPoint> points);
// Takes over all but what is this process's.
void AdoptPoint(const RunPoint& furthest, RunPoint* point);
// Of ranks of which one knows of a divergence.
void AdoptDivergence(absl::Span<const RunPoint> points, RunPoint* point);

// A collective of the new generation. `tensors`: all of the state, in the same order on all ranks. A rank
// that is behind receives into memory of its own first: when the source dies half-way, it still has the whole
// state of the step before. Error: the communicator's, and then `point` and `tensors` are as they were, but
// of a rank without state; PeerError when no rank has a state.
absl::StatusOr<TakeoverReport> TakeOver(comm::Communicator& communicator,
                                        absl::Span<const NamedBuffer> tensors, RunPoint* point,
                                        FaultPoints* faults);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_TAKEOVER_H_
