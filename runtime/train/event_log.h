// RUN/events/: scalars for TensorBoard, a new file each time the run starts or resumes.
#ifndef LOCKSTEP_RUNTIME_TRAIN_EVENT_LOG_H_
#define LOCKSTEP_RUNTIME_TRAIN_EVENT_LOG_H_

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/core/file_system.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"
#include "runtime/train/observer.h"

namespace lockstep::train {

// Tags: train/loss, train/lr, train/grad_norm, speed/samples_per_second, speed/step_seconds,
// speed/comm_seconds, speed/data_wait_seconds, and eval/<name>. `step` (done so far) is where the run
// continues: TensorBoard then drops what older files hold of later steps. Trouble ends the events, not the
// run; checkpoints do not wait for events. `logger` must outlive the observer.
absl::StatusOr<std::unique_ptr<Observer>> OpenEventLog(FileSystem* fs, const std::string& folder,
                                                       int64_t step, Logger* logger);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_EVENT_LOG_H_
