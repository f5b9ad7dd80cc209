// Ranks as threads of one process, for tests: there is no global state, so a world needs no processes.
//
//   RunRanks({.size = 4, .backend = "shm"}, [](comm::Communicator& comm) -> absl::Status { ... });
//
// A test fails when a rank returns an error, and a watchdog ends the process, naming the ranks that hang and
// what they were doing, when not all have returned in time.
#ifndef LOCKSTEP_TESTS_TESTING_RUN_RANKS_H_
#define LOCKSTEP_TESTS_TESTING_RUN_RANKS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "comm/communicator.h"
#include "comm/factory.h"
#include "comm/store.h"
#include "runtime/core/status.h"

namespace lockstep::testing {

struct RunRanksOptions {
  int size = 2;
  std::string backend = "auto";  // also those of PoseAsMachines
  std::string algorithm = "auto";
  absl::Duration deadline = absl::Seconds(20);   // of a collective
  absl::Duration watchdog = absl::Seconds(100);  // of the whole
  std::string what = "ranks";                    // names the test in the watchdog's message
};

// Ranks of one machine that pose as several. Turns the backends "hier_pairs" (ranks 0 1 | 2 3 | ...), "hier_uneven"
// (0 | 1 2 | 3 4 | ...) and "hier_mixed" (0 2 4 ... | 1 3 5 ...) into "hier" with the name of `rank`'s machine.
void PoseAsMachines(int rank, comm::CommunicatorOptions& options);

using RankFunction = std::function<absl::Status(comm::Communicator& comm)>;

// Every rank's result, in rank order; a communicator that could not be made is that rank's result.
std::vector<absl::Status> StatusesOfRanks(const RunRanksOptions& options, const RankFunction& rank);

// The first error, with its rank before it; OK when all are.
absl::Status RunRanks(const RunRanksOptions& options, const RankFunction& rank);

// As above, with the meeting in place of a communicator: for tests of how ranks come together.
using MeetingFunction = std::function<absl::Status(comm::Meeting& meeting)>;
std::vector<absl::Status> StatusesOfMeetings(const RunRanksOptions& options, const MeetingFunction& rank);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_RUN_RANKS_H_
