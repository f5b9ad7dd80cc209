// Brings up the communicator over several machines. Internal to comm/.
#ifndef LOCKSTEP_COMM_HIER_MAKE_HIER_H_
#define LOCKSTEP_COMM_HIER_MAKE_HIER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/engine.h"
#include "comm/mpi/mpi_engine.h"
#include "comm/store.h"
#include "comm/tcp/tcp_engine.h"
#include "runtime/core/log.h"

namespace lockstep::comm {

struct HierOptions {
  uint64_t generation = 0;
  bool over_mpi = false;  // between machines: by MPI's messages; else by tcp
  TcpOptions tcp;
  MpiOptions mpi;
  Logger* log = nullptr;  // may be null
};

// Ranks with equal names in `machine_of_rank` (the same on all ranks) may share memory. Whether they do is
// tried: the ranks of a machine that cannot count as machines of their own, which one of them says in the
// log. Where no rank shares memory with another, the engine is plain tcp (or mpi); where all do, plain shm.
// Collective over the meeting; fails or succeeds on all ranks.
absl::StatusOr<std::unique_ptr<Engine>> MakeHierEngine(Meeting& meeting,
                                                       std::vector<std::string> machine_of_rank,
                                                       const HierOptions& options, Deadline deadline);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_HIER_MAKE_HIER_H_
