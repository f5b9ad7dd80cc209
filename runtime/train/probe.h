// The probe of docs/DESIGN.md, section 2.5: one lane step on made-up data, hashed. Two machines whose probes
// differ (another instruction set, library or processor) would train to different bits; it is found before
// they can.
#ifndef LOCKSTEP_RUNTIME_TRAIN_PROBE_H_
#define LOCKSTEP_RUNTIME_TRAIN_PROBE_H_

#include <memory>
#include <string>

#include "runtime/core/status.h"
#include "runtime/graph/lane_program.h"
#include "runtime/train/lane_team.h"
#include "runtime/train/model_state.h"

namespace lockstep::train {

// SHA-256 of the loss and the gradients of one micro-batch, from `state` as initialised and inputs made from
// a fixed key (floats in [-1, 1); integers 0 and 1, which every vocabulary and set of classes holds). `state`
// is read only.
absl::StatusOr<std::string> ProbeHash(std::shared_ptr<const graph::LaneProgram> program, LaneTeam& team,
                                      const ModelState& state);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_PROBE_H_
