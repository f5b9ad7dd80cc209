// One supervisor a run.
#ifndef LOCKSTEP_LAUNCHER_RUN_SUPERVISION_H_
#define LOCKSTEP_LAUNCHER_RUN_SUPERVISION_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/core/file_system.h"
#include "runtime/core/status.h"

namespace lockstep::launcher {

// Makes the output folder that the ranks' `arguments` name, and holds it against other supervisors as long as
// the result lives. Errors: ConfigError where they name none, it cannot be made, or another has it.
absl::StatusOr<std::unique_ptr<FileLock>> SuperviseRun(const std::vector<std::string>& arguments);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_RUN_SUPERVISION_H_
