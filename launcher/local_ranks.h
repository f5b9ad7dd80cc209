// Ranks as child processes of this one: what `lockstep launch` does in place of mpirun on one machine.
#ifndef LOCKSTEP_LAUNCHER_LOCAL_RANKS_H_
#define LOCKSTEP_LAUNCHER_LOCAL_RANKS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"

namespace lockstep::launcher {

struct LocalRanksOptions {
  int ranks = 1;
  std::vector<std::string> arguments;  // of each rank's command line, after the program's name
  bool bind_cores = true;              // each rank to its share of the cores; never when there are too few
  absl::Duration grace = absl::Seconds(10);  // from SIGTERM to SIGKILL for the others once a rank has failed
  Logger* log = nullptr;
};

// Starts this same program `ranks` times and waits for all of them. Forwards SIGTERM, SIGINT and SIGUSR1.
// When a rank fails, the others are told to stop and, after the grace time, killed. They die with this
// process, whatever ends it. Result: the exit code, that of the first rank that failed (128 + signal for one
// killed by a signal), else 0 or what a forwarded signal made the ranks end with. Blocks these signals and
// SIGCHLD in the calling thread for good; call it while there is no other thread.
absl::StatusOr<int> RunLocalRanks(const LocalRanksOptions& options);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_LOCAL_RANKS_H_
