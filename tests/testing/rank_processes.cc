#include "tests/testing/rank_processes.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "comm/bootstrap.h"
#include "runtime/core/clock.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::testing {
namespace {

absl::Status BeRank(int rank, int size, int place, comm::CommunicatorOptions options,
                    const std::function<absl::Status(comm::Communicator&)>& function) {
  PoseAsMachines(rank, options);
  comm::World world;
  world.rank = rank;
  world.size = size;
  world.meeting_place = absl::StrCat("fd:", place);
  ASSIGN_OR_RETURN(const auto meeting, comm::Meet(world, {}));
  ASSIGN_OR_RETURN(const auto comm, comm::MakeCommunicator(*meeting, options));
  return function(*comm);
}

// What a child writes into its pipe at the end.
struct Report {
  double at_seconds;
  int trouble, code, length;
  char text[2000];
};

void ReadReport(int pipe, double patience, RankOutcome& outcome) {
  pollfd polled{pipe, POLLIN, 0};
  Report report;
  if (poll(&polled, 1, static_cast<int>(patience * 1000)) == 0) {
    outcome.message = "hung";
  } else if (read(pipe, &report, sizeof report) == sizeof report) {
    outcome.at_seconds = report.at_seconds;
    outcome.trouble = report.trouble;
    outcome.code = report.code;
    outcome.message.assign(report.text, report.length);
  } else {
    outcome.killed = true;
  }
}

}  // namespace

std::vector<RankOutcome> RunRankProcesses(
    int size, const comm::CommunicatorOptions& options,
    const std::function<absl::Status(comm::Communicator& comm)>& rank_function,
    const std::function<void(const std::vector<pid_t>& pids)>& meanwhile, double patience,
    const std::function<void(int rank)>& prepare) {
  const int place = comm::MakeInheritedMeetingPlace().value();
  std::vector<pid_t> pids;
  std::vector<int> pipes;
  for (int rank = 0; rank < size; ++rank) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    const pid_t pid = fork();
    if (pid == 0) {
      for (int earlier : pipes) close(earlier);
      if (prepare) prepare(rank);
      const absl::Status status = BeRank(rank, size, place, options, rank_function);
      Report report{};
      report.at_seconds = MonotonicSeconds();
      report.trouble = static_cast<int>(TroubleOf(status));
      report.code = static_cast<int>(status.code());
      report.length = static_cast<int>(std::min(status.message().size(), sizeof report.text));
      std::memcpy(report.text, status.message().data(), report.length);
      _exit(write(ends[1], &report, sizeof report) == sizeof report ? 0 : 1);
    }
    close(ends[1]);
    pids.push_back(pid);
    pipes.push_back(ends[0]);
  }
  close(place);
  if (meanwhile) meanwhile(pids);
  std::vector<RankOutcome> outcomes(size);
  for (int rank = 0; rank < size; ++rank) ReadReport(pipes[rank], patience, outcomes[rank]);
  for (int rank = 0; rank < size; ++rank) {
    kill(pids[rank], SIGKILL);
    waitpid(pids[rank], nullptr, 0);
    close(pipes[rank]);
  }
  return outcomes;
}

}  // namespace lockstep::testing
