#include "launcher/local_ranks.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "comm/bootstrap.h"
#include "launcher/core_binding.h"
#include "launcher/rank_process.h"

namespace lockstep::launcher {
namespace {

class LocalRanks {
 public:
  explicit LocalRanks(const LocalRanksOptions& options) : options_(options) {}

  absl::StatusOr<int> Run() {
    sigemptyset(&awaited_);
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGUSR1}) sigaddset(&awaited_, signal);
    sigprocmask(SIG_BLOCK, &awaited_, &mask_before_);
    const absl::Status started = Start();
    if (!started.ok()) Signal(SIGKILL);
    while (alive_ > 0) WaitForEvent();
    if (!started.ok()) return started;
    return failed_code_.value_or(stopped_code_);
  }

 private:
  struct Rank {
    pid_t pid = 0;
    bool alive = false;
  };

  absl::Status Start() {
    ASSIGN_OR_RETURN(const int meeting, comm::MakeInheritedMeetingPlace());
    const absl::Status forked = StartAll(meeting);
    close(meeting);
    return forked;
  }

  absl::Status StartAll(int meeting) {
    std::vector<cpu_set_t> cores;
    if (options_.bind_cores) {
      ASSIGN_OR_RETURN(cores, DistributeCores(options_.ranks));
    }
    RankStart start;
    start.arguments = options_.arguments;
    start.size = options_.ranks;
    start.meeting = meeting;
    start.job = RandomJobName();
    for (int rank = 0; rank < options_.ranks; ++rank) {
      start.rank = rank;
      start.cores = cores.empty() ? nullptr : &cores[rank];
      ASSIGN_OR_RETURN(const pid_t pid, StartRankProcess(start, mask_before_));
      ranks_.push_back({pid, true});
      ++alive_;
    }
    return absl::OkStatus();
  }

  // One signal, or a second without any, and what follows from it.
  void WaitForEvent() {
    const timespec second = {1, 0};
    const int signal = sigtimedwait(&awaited_, nullptr, &second);
    if (signal == SIGTERM || signal == SIGINT || signal == SIGUSR1) {
      forwarded_ = signal;
      Signal(signal);
    }
    Reap();
    if (alive_ > 0 && absl::Now() > kill_at_) {
      options_.log->Warning(absl::StrCat(alive_, alive_ == 1 ? " rank" : " ranks", " did not stop in ",
                                         absl::FormatDuration(options_.grace), "; killing them"));
      Signal(SIGKILL);
      kill_at_ = absl::InfiniteFuture();
    }
  }

  void Signal(int signal) {
    for (const Rank& rank : ranks_) {
      if (rank.alive) kill(rank.pid, signal);
    }
  }

  void Reap() {
    for (size_t i = 0; i < ranks_.size(); ++i) {
      int status = 0;
      if (!ranks_[i].alive || waitpid(ranks_[i].pid, &status, WNOHANG) != ranks_[i].pid) continue;
      ranks_[i].alive = false;
      --alive_;
      OnEnd(static_cast<int>(i), status);
    }
  }

  void OnEnd(int rank, int status) {
    const int code = CodeOfEnd(status);
    if (code == 0) return;
    if (forwarded_ != 0 && code == 128 + forwarded_) {  // it did as it was told
      stopped_code_ = code;
      return;
    }
    if (failed_code_.has_value()) return;
    failed_code_ = code;
    options_.log->Error(absl::StrCat("rank ", rank, " (pid ", ranks_[rank].pid, ") ", DescribeEnd(status),
                                     alive_ > 0 ? "; stopping the others" : ""));
    Signal(SIGTERM);
    kill_at_ = absl::Now() + options_.grace;
  }

  const LocalRanksOptions& options_;
  sigset_t awaited_, mask_before_;
  std::vector<Rank> ranks_;
  int alive_ = 0;
  int forwarded_ = 0;               // the last signal passed on
  int stopped_code_ = 0;            // of ranks that ended by it
  std::optional<int> failed_code_;  // of the first rank that failed by itself
  absl::Time kill_at_ = absl::InfiniteFuture();
};

}  // namespace

absl::StatusOr<int> RunLocalRanks(const LocalRanksOptions& options) { return LocalRanks(options).Run(); }

}  // namespace lockstep::launcher
