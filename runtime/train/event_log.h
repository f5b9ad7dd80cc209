// RUN/events/: what TensorBoard shows. A new file each resume, as TensorBoard expects of a restarted run.
#ifndef LOCKSTEP_RUNTIME_TRAIN_EVENT_LOG_H_
#define LOCKSTEP_RUNTIME_TRAIN_EVENT_LOG_H_

#include <memory>
#include <string>

#include "runtime/core/file_system.h"
#include "runtime/core/log.h"
#include "runtime/train/observer.h"

namespace lockstep::train {

// Scalars train/loss, train/lr, train/grad_norm, speed/samples_per_second, speed/step_seconds,
// speed/comm_share, speed/data_wait_share at each step, and eval/<name> at each validation. `folder` is made
// when missing; `logger` must outlive the observer. Events are no part of what a checkpoint waits for: Sync
// does nothing.
absl::StatusOr<std::unique_ptr<Observer>> OpenEventLog(FileSystem* fs, const std::string& folder,
                                                       Logger* logger);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_EVENT_LOG_H_
