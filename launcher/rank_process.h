// Starts a rank as a child of this process.
#ifndef LOCKSTEP_LAUNCHER_RANK_PROCESS_H_
#define LOCKSTEP_LAUNCHER_RANK_PROCESS_H_

#include <sched.h>
#include <signal.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "runtime/core/status.h"

namespace lockstep::launcher {

// The exit code of a child that could not become this program, as shells say it.
inline constexpr int kCannotStart = 127;

struct RankStart {
  std::vector<std::string> arguments;  // of the rank's command line, after the program's name
  int rank = 0;                        // with --elastic: which of the launcher's children it is
  int size = 1;
  int meeting = -1;     // the inherited file where ranks meet; -1: none (a newcomer)
  std::string job;      // names this start of all ranks
  int supervisor = -1;  // the inherited pipe to `lockstep launch --elastic`; -1: it is another launcher
  bool join = false;    // a newcomer to ranks that train already
  const cpu_set_t* cores = nullptr;  // that it is bound to; null: wherever it likes
};

// This same program with `start.arguments`, in a process group of its own, with `mask` as its signals, and
// killed by the kernel when this process ends. Call it while there is no other thread.
absl::StatusOr<pid_t> StartRankProcess(const RankStart& start, const sigset_t& mask);

// A random name for a start.
std::string RandomJobName();

// "was killed by signal 9 (Killed)", "ended with exit code 3", for a status of waitpid; and the exit code
// that stands for it, 128 + signal for one killed.
std::string DescribeEnd(int wait_status);
int CodeOfEnd(int wait_status);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_RANK_PROCESS_H_
