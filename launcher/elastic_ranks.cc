#include "launcher/elastic_ranks.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "comm/bootstrap.h"
#include "launcher/core_binding.h"
#include "launcher/rank_process.h"
#include "launcher/restarts.h"
#include "launcher/run_supervision.h"

namespace lockstep::launcher {
namespace {

constexpr int kPeerFailed = static_cast<int>(Trouble::kPeer);
constexpr int kMostRanks = 4096;

// One of the places for a rank. Its number stays while processes in it come and go.
struct Slot {
  pid_t pid = 0;
  bool alive = false;
  bool member = false;  // of the run, as it said itself
  bool joins = false;   // was started as a newcomer
  bool left = false;    // as was planned, or was not let in: nobody is to come back here
  absl::Time began, start_at = absl::InfiniteFuture();
  Restarts restarts;
};

class ElasticRanks {
 public:
  ElasticRanks(const ElasticRanksOptions& options, int pipe_in, int pipe_out)
      : options_(options), pipe_in_(pipe_in), pipe_out_(pipe_out) {}
  ~ElasticRanks() {
    close(pipe_in_);
    close(pipe_out_);
  }

  absl::StatusOr<int> Run() {
    sigemptyset(&awaited_);
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGUSR1}) sigaddset(&awaited_, signal);
    sigprocmask(SIG_BLOCK, &awaited_, &mask_before_);
    slots_.resize(options_.ranks);
    if (options_.bind_cores) {
      ASSIGN_OR_RETURN(cores_, DistributeCores(options_.ranks));
    }
    absl::Status started = StartAll();
    while (started.ok() && !Ended()) {
      WaitForEvent();
      ReadLines();
      Reap();
      KillTheSlow();
      started = StartDue();
    }
    if (!started.ok()) {
      Signal(SIGKILL);
      for (const Slot& slot : slots_) {
        if (slot.alive) waitpid(slot.pid, nullptr, 0);
      }
      return started;
    }
    return exit_code_.value_or(CodeWithoutRanks());
  }

 private:
  int AliveCount() const {
    return static_cast<int>(
        std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return s.alive; }));
  }
  // Those that hold the state of the run, or are on their way to make it.
  int TrainingCount() const {
    return static_cast<int>(std::count_if(slots_.begin(), slots_.end(),
                                          [](const Slot& s) { return s.alive && (s.member || !s.joins); }));
  }
  bool Ended() const {
    return AliveCount() == 0 && start_all_at_ == absl::InfiniteFuture() &&
           (stopping_ || std::all_of(slots_.begin(), slots_.end(),
                                     [](const Slot& s) { return s.start_at == absl::InfiniteFuture(); }));
  }

  // Nobody was there to end as the signal asked.
  int CodeWithoutRanks() const {
    if (forwarded_ == 0) return 0;
    return forwarded_ == SIGUSR1 ? kPeerFailed : 128 + forwarded_;
  }

  absl::Status StartAll() {
    start_all_at_ = absl::InfiniteFuture();
    all_began_ = absl::Now();
    job_ = RandomJobName();
    changeable_ = gathering_ = false;
    kill_at_ = absl::InfiniteFuture();
    slots_.erase(std::remove_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.left; }),
                 slots_.end());
    ASSIGN_OR_RETURN(const int meeting, comm::MakeInheritedMeetingPlace());
    absl::Status status;
    for (size_t i = 0; i < slots_.size() && status.ok(); ++i) status = Start(static_cast<int>(i), meeting);
    close(meeting);
    return status;
  }

  // A newcomer without a meeting place.
  absl::Status Start(int number, int meeting) {
    Slot& slot = slots_[number];
    RankStart start;
    start.arguments = options_.arguments;
    start.rank = number;
    start.size = static_cast<int>(slots_.size());
    start.meeting = meeting;
    start.job = job_;
    start.supervisor = pipe_out_;
    start.join = meeting < 0;
    start.cores = number < static_cast<int>(cores_.size()) ? &cores_[number] : nullptr;
    ASSIGN_OR_RETURN(slot.pid, StartRankProcess(start, mask_before_));
    slot.alive = true;
    slot.member = slot.left = false;
    slot.joins = start.join;
    slot.began = absl::Now();
    slot.start_at = absl::InfiniteFuture();
    return absl::OkStatus();
  }

  absl::Status StartDue() {
    const absl::Time now = absl::Now();
    if (stopping_) return absl::OkStatus();
    if (now >= start_all_at_ && AliveCount() == 0) return StartAll();
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (now >= slots_[i].start_at) RETURN_IF_ERROR(Start(static_cast<int>(i), /*meeting=*/-1));
    }
    return absl::OkStatus();
  }

  // A signal, or the next thing that is due by the clock.
  void WaitForEvent() {
    absl::Time due = std::min({absl::Now() + absl::Milliseconds(200), start_all_at_, kill_at_});
    for (const Slot& slot : slots_) due = std::min(due, slot.start_at);
    const timespec wait = absl::ToTimespec(std::max(due - absl::Now(), absl::Milliseconds(1)));
    const int signal = sigtimedwait(&awaited_, nullptr, &wait);
    if (signal != SIGTERM && signal != SIGINT && signal != SIGUSR1) return;
    forwarded_ = signal;
    StopRestarting();
    Signal(signal);
  }

  void Signal(int signal) {
    for (const Slot& slot : slots_) {
      if (slot.alive) kill(slot.pid, signal);
    }
  }

  void StopRestarting() {
    stopping_ = true;
    start_all_at_ = absl::InfiniteFuture();
    for (Slot& slot : slots_) slot.start_at = absl::InfiniteFuture();
  }

  void StopAll(int signal) {
    Signal(signal);
    if (signal != SIGKILL) kill_at_ = std::min(kill_at_, absl::Now() + options_.grace);
  }

  void KillTheSlow() {
    if (AliveCount() == 0) kill_at_ = absl::InfiniteFuture();
    if (absl::Now() < kill_at_) return;
    options_.log->Warning(absl::StrCat(AliveCount(), " ranks did not stop in ",
                                       absl::FormatDuration(options_.grace), "; killing them"));
    Signal(SIGKILL);
    kill_at_ = absl::InfiniteFuture();
  }

  void ReadLines() {
    char buffer[512];
    ssize_t got = 0;
    while ((got = read(pipe_in_, buffer, sizeof buffer)) > 0) heard_.append(buffer, static_cast<size_t>(got));
    for (size_t end = heard_.find('\n'); end != heard_.npos; end = heard_.find('\n')) {
      const std::pair<std::string, std::string> words =
          absl::StrSplit(heard_.substr(0, end), absl::MaxSplits(' ', 1));
      heard_.erase(0, end + 1);
      int number = 0;
      if (absl::SimpleAtoi(words.second, &number)) OnLine(words.first, number);
    }
  }

  void OnLine(const std::string& word, int number) {
    if (word == "grow") return Grow(number);
    if (number < 0 || number >= static_cast<int>(slots_.size())) return;
    if (word == "member") slots_[number].member = changeable_ = true;
    if (word == "left") slots_[number].left = true;
  }

  // Places that were left are filled first.
  void Grow(int ranks) {
    if (stopping_ || ranks > kMostRanks) return;
    int wanted = ranks;
    for (const Slot& slot : slots_) wanted -= slot.alive || slot.start_at != absl::InfiniteFuture();
    for (size_t i = 0; wanted > 0; ++i) {
      if (i == slots_.size()) slots_.emplace_back();
      Slot& slot = slots_[i];
      if (slot.alive || slot.start_at != absl::InfiniteFuture()) continue;
      slot.restarts = Restarts();
      slot.start_at = absl::Now();
      --wanted;
    }
  }

  void Reap() {
    for (size_t i = 0; i < slots_.size(); ++i) {
      int status = 0;
      if (!slots_[i].alive || waitpid(slots_[i].pid, &status, WNOHANG) != slots_[i].pid) continue;
      ReadLines();  // what it said before it ended
      slots_[i].alive = false;
      OnEnd(static_cast<int>(i), status);
    }
  }

  void OnEnd(int number, int status) {
    Slot& slot = slots_[number];
    const int code = CodeOfEnd(status);
    const bool outside = slot.joins && !slot.member;  // a newcomer that was not let in
    const std::string who =
        absl::StrCat(outside ? "a newcomer" : "a rank", " (pid ", slot.pid, ", place ", number, ") ");
    if (code == 0) {
      if (!slot.left && !outside) OnRunDone(0);
    } else if (stopping_) {
      if (!exit_code_ && forwarded_ != 0) exit_code_ = code;
    } else if (forwarded_ != 0 && code == 128 + forwarded_) {
      OnRunDone(code);
    } else if (WIFSIGNALED(status) || code == kPeerFailed || (gathering_ && code == 128 + SIGTERM)) {
      OnDeath(slot, who, status);
    } else if (outside) {
      options_.log->Warning(
          absl::StrCat(who, DescribeEnd(status), "; it is not started again, the others go on"));
      slot.left = true;
    } else {
      options_.log->Error(
          absl::StrCat(who, DescribeEnd(status), AliveCount() > 0 ? "; stopping the others" : ""));
      OnRunDone(code);
      StopAll(SIGTERM);
    }
    if (!stopping_ && TrainingCount() == 0) StartAllSoon();
  }

  // The result is there, or none is to come. The others end by themselves; newcomers would wait for nobody.
  void OnRunDone(int code) {
    StopRestarting();
    if (!exit_code_ || *exit_code_ == 0) exit_code_ = code;
    for (const Slot& slot : slots_) {
      if (slot.alive && slot.joins && !slot.member) kill(slot.pid, SIGKILL);
    }
  }

  void OnDeath(Slot& slot, const std::string& who, int status) {
    if (!changeable_) {  // nobody can go on without it
      options_.log->Warning(absl::StrCat(who, DescribeEnd(status)));
      gathering_ = true;
      StopAll(SIGTERM);
      return;
    }
    const std::optional<absl::Duration> wait = slot.restarts.Next(absl::Now() - slot.began, limits_);
    if (!wait) {
      options_.log->Error(absl::StrCat(who, DescribeEnd(status), " after ", options_.most_restarts,
                                       " restarts in a row; it is not started again"));
      return;
    }
    options_.log->Warning(
        absl::StrCat(who, DescribeEnd(status), "; starting another in ", absl::FormatDuration(*wait)));
    slot.start_at = absl::Now() + *wait;
  }

  // Nobody is left who holds the state in memory.
  void StartAllSoon() {
    if (start_all_at_ != absl::InfiniteFuture()) return;
    Signal(SIGKILL);  // newcomers, if any
    for (Slot& slot : slots_) slot.start_at = absl::InfiniteFuture();
    const std::optional<absl::Duration> wait = all_restarts_.Next(absl::Now() - all_began_, limits_);
    if (!wait) {
      options_.log->Error(absl::StrCat("all ranks ended, after ", options_.most_restarts,
                                       " restarts of all in a row; giving up"));
      StopRestarting();
      exit_code_ = kPeerFailed;
      return;
    }
    options_.log->Warning(absl::StrCat("no rank is left; starting all again from the newest checkpoint in ",
                                       absl::FormatDuration(*wait)));
    start_all_at_ = absl::Now() + *wait;
  }

  const ElasticRanksOptions& options_;
  const RestartLimits limits_{.most = options_.most_restarts, .first_wait = options_.first_wait};
  const int pipe_in_, pipe_out_;
  sigset_t awaited_, mask_before_;
  std::vector<cpu_set_t> cores_;
  std::vector<Slot> slots_;
  std::string job_, heard_;
  bool changeable_ = false;  // a rank said that ranks may come and go
  bool gathering_ = false;   // the others are being ended, so that all can start again
  bool stopping_ = false;    // nothing is started any more
  int forwarded_ = 0;        // the last signal passed on
  std::optional<int> exit_code_;
  Restarts all_restarts_;
  absl::Time all_began_, start_all_at_ = absl::InfiniteFuture(), kill_at_ = absl::InfiniteFuture();
};

}  // namespace

absl::StatusOr<int> RunElasticRanks(const ElasticRanksOptions& options) {
  ASSIGN_OR_RETURN(const auto lock, SuperviseRun(options.arguments));
  int ends[2];
  if (pipe2(ends, O_NONBLOCK) != 0) return absl::InternalError(ErrnoText("pipe", errno));
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);  // the other end is for the ranks
  return ElasticRanks(options, ends[0], ends[1]).Run();
}

}  // namespace lockstep::launcher
