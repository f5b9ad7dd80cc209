// Brings up the communicator over several machines. Internal to comm/.
#ifndef LOCKSTEP_COMM_HIER_MAKE_HIER_H_
#define LOCKSTEP_COMM_HIER_MAKE_HIER_H_

#include <memory>
#include <string>
#include <vector>

#include "comm/engine.h"
#include "comm/store.h"
#include "comm/tcp/tcp_engine.h"
#include "runtime/core/log.h"

namespace lockstep::comm {

// Ranks with equal names in `machine_of_rank` (the same on all ranks) may share memory. Whether they do is
// tried: the ranks of a machine that cannot count as machines of their own, which one of them says in `log`
// (may be null). Where no rank shares memory with another, the engine is plain tcp; where all do, plain
// shm. Collective over the meeting; fails or succeeds on all ranks.
absl::StatusOr<std::unique_ptr<Engine>> MakeHierEngine(Meeting& meeting,
                                                       std::vector<std::string> machine_of_rank,
                                                       const TcpOptions& tcp, Logger* log, Deadline deadline);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_HIER_MAKE_HIER_H_
