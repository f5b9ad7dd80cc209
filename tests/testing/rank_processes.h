// Ranks as real processes (forked), for tests that kill and stop them. Use it from a single-threaded test.
#ifndef LOCKSTEP_TESTS_TESTING_RANK_PROCESSES_H_
#define LOCKSTEP_TESTS_TESTING_RANK_PROCESSES_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/factory.h"

namespace lockstep::testing {

// How one rank ended.
struct RankOutcome {
  bool killed = false;    // by a signal
  std::string message;    // of its status; empty when OK (or killed)
  int trouble = 0;        // TroubleOf(status)
  int code = 0;           // of the status
  double at_seconds = 0;  // MonotonicSeconds() when its function returned; one clock for all processes
};

// Forks `size` ranks that meet over an inherited file and run `rank`. A rank's process ends when its function
// returns. `meanwhile` (may be null) runs in the parent with the processes' ids. Whoever is still there
// `patience` seconds later is killed and has the message "hung". `prepare` (may be null) runs first in each process.
// Backends may be those of PoseAsMachines (tests/testing/run_ranks.h).
std::vector<RankOutcome> RunRankProcesses(
    int size, const comm::CommunicatorOptions& options,
    const std::function<absl::Status(comm::Communicator& comm)>& rank,
    const std::function<void(const std::vector<pid_t>& pids)>& meanwhile, double patience = 30,
    const std::function<void(int rank)>& prepare = nullptr);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_RANK_PROCESSES_H_
