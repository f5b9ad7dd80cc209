// For builds without an MPI library.
#include "comm/mpi/mpi_engine.h"

namespace lockstep::comm {
namespace {

absl::Status Refuse(Meeting& meeting, const MpiOptions& options, Deadline deadline) {
  const absl::Status status = ConfigError(
      "this Lockstep was built without an MPI library, so there is no backend mpi, nor hier over mpi. "
      "Install "
      "one (apt-get install libopenmpi-dev) and build again, or use another backend (auto, shm, tcp, hier)");
  // Ranks of another build, which have one, are told.
  meeting
      .Exchange(absl::StrCat("mpi/", options.generation, "/job"), absl::StrCat("-", status.message()),
                deadline)
      .IgnoreError();
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> MakeMpiEngine(Meeting& meeting, const MpiOptions& options,
                                                      Deadline deadline) {
  return Refuse(meeting, options, deadline);
}

absl::StatusOr<std::unique_ptr<Mesh>> MakeMpiMesh(Meeting& meeting, const MpiOptions& options,
                                                  Deadline deadline) {
  return Refuse(meeting, options, deadline);
}

}  // namespace lockstep::comm
