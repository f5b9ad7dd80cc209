// Learning-rate schedules: pure functions of the step and the recipe's horizon, never of how far a run was
// asked to go.
#ifndef LOCKSTEP_RUNTIME_TRAIN_SCHEDULE_H_
#define LOCKSTEP_RUNTIME_TRAIN_SCHEDULE_H_

#include <cstdint>

#include "proto/run_config.pb.h"

namespace lockstep::train {

// The factor on the optimizer's lr for step `step` (0 is the first) of a horizon of `horizon` steps.
//
// With w warm-up steps: (step + 1) / w for step < w. After that, with x = (step - w) / (horizon - w) < 1:
//   constant  1
//   linear    1 - (1 - final) x
//   cosine    final + (1 - final) (1 + cos(pi x)) / 2      (Loshchilov & Hutter, SGDR, 2017, one period)
//   step      gamma ^ (number of milestones <= step)
// Past the horizon, x stays 1.
double ScheduleFactor(const ScheduleConfig& schedule, int64_t step, int64_t horizon);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_SCHEDULE_H_
