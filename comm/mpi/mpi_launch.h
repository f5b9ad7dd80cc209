// Whether the launcher that started this process is one that the MPI library works with. Pure: calls no MPI,
// so that a wrong start is an error with a reason before any rank waits for another.
#ifndef LOCKSTEP_COMM_MPI_MPI_LAUNCH_H_
#define LOCKSTEP_COMM_MPI_MPI_LAUNCH_H_

#include <string>

#include "absl/strings/string_view.h"
#include "comm/bootstrap.h"

namespace lockstep::comm {

// The job as its launcher names it; equal on all ranks of one MPI_COMM_WORLD.
struct MpiJob {
  std::string name;  // "unnamed" where the launcher gives none
  int size = 0;      // processes; 0: the launcher does not say
};

// `library` is what MPI_Get_library_version says. Error: ConfigError that names the launcher and the library.
absl::StatusOr<MpiJob> MpiJobFromEnvironment(const Environment& environment, absl::string_view library);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MPI_MPI_LAUNCH_H_
