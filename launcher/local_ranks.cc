#include "launcher/local_ranks.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "comm/bootstrap.h"
#include "launcher/core_binding.h"
#include "launcher/parent_death.h"
#include "launcher/rank.h"

namespace lockstep::launcher {
namespace {

constexpr int kCannotStart = 127;  // as shells say it

// What a child needs, made before the fork so that nothing is allocated between fork and exec.
struct Command {
  std::vector<std::string> strings;
  std::vector<char*> pointers;
  void Seal() {
    for (std::string& text : strings) pointers.push_back(text.data());
    pointers.push_back(nullptr);
  }
};

// This process's environment without what an outer launcher said, and with who the rank is.
Command RankEnvironment(int rank, int size, int meeting, const std::string& job) {
  Command environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const bool of_a_launcher =
        absl::StartsWith(*entry, "LOCKSTEP_") && !absl::StartsWith(*entry, "LOCKSTEP_FAULTS=");
    if (!of_a_launcher) environment.strings.push_back(*entry);
  }
  for (const auto& [name, value] : {std::pair<const char*, std::string>{"LOCKSTEP_RANK", absl::StrCat(rank)},
                                    {"LOCKSTEP_SIZE", absl::StrCat(size)},
                                    {"LOCKSTEP_LOCAL_RANK", absl::StrCat(rank)},
                                    {"LOCKSTEP_MEETING", absl::StrCat("fd:", meeting)},
                                    {"LOCKSTEP_JOB", job},
                                    {kLauncherPidVariable, absl::StrCat(getpid())}}) {
    environment.strings.push_back(absl::StrCat(name, "=", value));
  }
  environment.Seal();
  return environment;
}

std::string RandomName() {
  unsigned char bytes[8];
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
    return absl::StrCat(getpid(), "-", absl::GetCurrentTimeNanos());
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)));
}

// In the child. A process group of its own keeps the terminal's Ctrl-C from reaching it beside our forwarded
// SIGINT.
[[noreturn]] void BecomeRankProcess(const Command& arguments, const Command& environment,
                                    const cpu_set_t* cores, const sigset_t& mask, pid_t launcher) {
  setpgid(0, 0);
  DieWithParent(launcher);
  if (cores != nullptr) sched_setaffinity(0, sizeof(*cores), cores);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing >= 0) dup2(nothing, STDIN_FILENO);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execve("/proc/self/exe", arguments.pointers.data(), environment.pointers.data());
  _exit(kCannotStart);
}

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
    Command arguments{.strings = {"lockstep"}, .pointers = {}};
    arguments.strings.insert(arguments.strings.end(), options_.arguments.begin(), options_.arguments.end());
    arguments.Seal();
    const std::string job = RandomName();
    const pid_t self = getpid();
    for (int rank = 0; rank < options_.ranks; ++rank) {
      const Command environment = RankEnvironment(rank, options_.ranks, meeting, job);
      const pid_t pid = fork();
      if (pid < 0) return absl::InternalError(ErrnoText(absl::StrCat("cannot start rank ", rank), errno));
      if (pid == 0) {
        BecomeRankProcess(arguments, environment, cores.empty() ? nullptr : &cores[rank], mask_before_, self);
      }
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
    const bool killed = WIFSIGNALED(status);
    const int code = killed ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (code == 0) return;
    if (forwarded_ != 0 && code == 128 + forwarded_) {  // it did as it was told
      stopped_code_ = code;
      return;
    }
    if (failed_code_.has_value()) return;
    failed_code_ = code;
    const std::string how = killed ? absl::StrCat("was killed by signal ", WTERMSIG(status), " (",
                                                  strsignal(WTERMSIG(status)), ")")
                            : code == kCannotStart ? std::string("could not be started")
                                                   : absl::StrCat("ended with exit code ", code);
    options_.log->Error(absl::StrCat("rank ", rank, " (pid ", ranks_[rank].pid, ") ", how,
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
