// Ranks as child processes that may die and come back: what `lockstep launch --elastic` does.
#ifndef LOCKSTEP_LAUNCHER_ELASTIC_RANKS_H_
#define LOCKSTEP_LAUNCHER_ELASTIC_RANKS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"

namespace lockstep::launcher {

struct ElasticRanksOptions {
  int ranks = 1;
  std::vector<std::string> arguments;  // of each rank's command line, after the program's name: "train", ...
  bool bind_cores = true;              // each of the first ranks to its share; never when there are too few
  absl::Duration grace = absl::Seconds(10);  // from SIGTERM to SIGKILL when all shall end
  int most_restarts = 10;  // in a row, of one rank or of the whole; one that lived for 20 s begins anew
  absl::Duration first_wait = absl::Milliseconds(200);  // before a restart; doubled up to 15 s while it fails
  Logger* log = nullptr;
};

// Starts this same program `ranks` times and waits for the run to end. A rank that dies, or that the others
// voted out (exit code 4), is started again as a newcomer (LOCKSTEP_JOIN=1) while the others go on. When
// there is nobody left to join, all are started again, and resume from the newest checkpoint. Other exit
// codes of a rank (2, 3, 5, 6) end the run, but not those of a newcomer that was not let in: it stays away.
// Forwards SIGTERM, SIGINT and SIGUSR1. Result: the exit code; 4 when restarting was given up. Error:
// ConfigError when the arguments name no --out, or another supervisor has that run. Blocks the signals and
// SIGCHLD in the calling thread for good; call it while there is no other thread.
absl::StatusOr<int> RunElasticRanks(const ElasticRanksOptions& options);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_ELASTIC_RANKS_H_
