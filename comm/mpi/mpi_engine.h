// The communicator over an MPI library, for clusters whose network is best known to their MPI (InfiniBand,
// Slurm).
//
// With algorithm auto a collective is MPI's own, in its non-blocking form (MPI_Iallreduce, ...). What MPI
// does not promise goes by our plans (comm/p2p) over MPI's messages: reduce_lanes, any algorithm asked for by
// name, 16-bit floats, averages, all_to_all_v, parts beyond 2 GiB.
//
// MPI itself neither notices ranks that call different things nor gives up a collective. So before each of
// MPI's own collectives the ranks tell each other their calls, which is a barrier of small messages too
// (among few ranks to everyone, else by dissemination in ceil(log2 p) steps): a mismatch, or a rank that does
// not come by the deadline, is an error while nothing is under way yet. What that costs is in
// docs/guide/mpi.md.
//
// Outside two promises of the other backends: MPI_Init listens on all interfaces, without authentication; and
// when a process dies, Open MPI's mpirun and srun end the whole job, so no survivor tells why.
#ifndef LOCKSTEP_COMM_MPI_MPI_ENGINE_H_
#define LOCKSTEP_COMM_MPI_MPI_ENGINE_H_

#include <climits>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "comm/engine.h"
#include "comm/p2p/transport.h"
#include "comm/store.h"
#include "runtime/core/clock.h"

namespace lockstep::comm {

struct MpiOptions {
  uint64_t generation = 0;
  // How long a process that ends waits for the others before MPI_Finalize.
  absl::Duration exit_patience = absl::Minutes(5);
  size_t largest_count = INT_MAX;                  // elements in one call of a collective
  size_t largest_message_bytes = size_t{1} << 30;  // in one call of MPI_Isend
};

// Collective over the meeting; fails or succeeds on all ranks. The first time in a process it calls MPI_Init,
// for which all processes of the job must be in the meeting; later any of them may be. Error: ConfigError
// when no launcher of this MPI library started the ranks, or Lockstep was built without one, before any rank
// waits for another.
absl::StatusOr<std::unique_ptr<Engine>> MakeMpiEngine(Meeting& meeting, const MpiOptions& options,
                                                      Deadline deadline);

// The messages alone, for who runs collectives over some of the ranks. Collective in the same way.
absl::StatusOr<std::unique_ptr<Mesh>> MakeMpiMesh(Meeting& meeting, const MpiOptions& options,
                                                  Deadline deadline);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MPI_MPI_ENGINE_H_
