// Measures the numbers of the cost model on the connections as they are. Internal to comm/.
#ifndef LOCKSTEP_COMM_CALIBRATE_H_
#define LOCKSTEP_COMM_CALIBRATE_H_

#include "absl/time/time.h"
#include "comm/engine.h"
#include "comm/plan/cost_model.h"

namespace lockstep::comm {

// Collective: every rank exchanges a few messages with its neighbours of the ring, small ones and large ones.
// The model is the same on all ranks: of each number the slowest rank's. Some milliseconds on one machine, a
// few round trips and 3 MiB over a network. Errors: the engine's.
absl::StatusOr<CostModel> Calibrate(Engine& engine, absl::Duration deadline);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_CALIBRATE_H_
