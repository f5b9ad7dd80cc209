// For builds without an MPI library.
#include "comm/mpi/mpi_engine.h"

namespace lockstep::comm {

absl::StatusOr<std::unique_ptr<Engine>> MakeMpiEngine(Meeting& meeting, const MpiOptions& options,
                                                      Deadline deadline) {
  const absl::Status status = ConfigError(
      "this Lockstep was built without an MPI library, so there is no backend mpi. Install one (apt-get "
      "install "
      "libopenmpi-dev) and build again, or use another backend (auto, shm, tcp)");
  // Ranks of another build, which have one, are told.
  meeting
      .Exchange(absl::StrCat("mpi/", options.generation, "/job"), absl::StrCat("-", status.message()),
                deadline)
      .IgnoreError();
  return status;
}

}  // namespace lockstep::comm
