#include "tests/chaos/conduct.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/chaos/sight.h"

namespace lockstep::testing {
namespace {

constexpr char kOut[] = "run";
constexpr double kRanksEndSeconds = 15;
constexpr int kMostCalmLegs = 3;  // an undisturbed start gets the run done; more are for its first failures
constexpr auto kPoll = std::chrono::milliseconds(2);

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int Count(absl::string_view text, absl::string_view what) {
  int count = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

std::string Tail(absl::string_view text, size_t bytes) {
  return std::string(text.substr(text.size() - std::min(bytes, text.size())));
}

class Conductor {
 public:
  Conductor(const Schedule& schedule, const CalmRun& calm, const ConductOptions& options)
      : schedule_(schedule), calm_(calm), options_(options), dice_(schedule.seed ^ 0x5ca1ab1e) {
    config_ = work_.WriteConfig("config", schedule.recipe->config);
    std::ofstream(work_.Path("schedule.txt")) << "seed " << schedule.seed << "\n" << Describe(schedule);
  }

  Outcome Run() {
    const double begin = Now();
    limit_ = begin + options_.timeout_seconds;
    bool done = false;
    for (const Leg& leg : schedule_.legs) {
      done = RunLeg(leg, /*calm=*/false);
      if (done || !why_.empty()) break;
      if (dice_.Chance(25) && DamageNewestCheckpoint(work_, kOut, dice_))
        ++tally_.faults["checkpoints damaged"];
    }
    for (int i = 0; i < kMostCalmLegs && !done && why_.empty(); ++i) {
      done = RunLeg(DrawCalmLeg(dice_), /*calm=*/true);
    }
    if (why_.empty() && !done) why_ = "undisturbed starts did not get it done";
    CalmRun calm = calm_;
    if (best_is_lost_) calm.best = work_.Read(absl::StrCat(kOut, "/checkpoints/best"));
    if (why_.empty()) why_ = DifferenceFrom(calm, work_, kOut);
    Outcome outcome;
    outcome.good = why_.empty();
    outcome.why = why_;
    outcome.seconds = Now() - begin;
    tally_.schedules = 1;
    tally_.failures = outcome.good ? 0 : 1;
    tally_.heals = Count(work_.Read(absl::StrCat(kOut, "/integrity.jsonl")), "\"event\": \"diverged\"");
    outcome.tally = tally_;
    if (!outcome.good || options_.keep) {
      work_.Keep();
      outcome.folder = work_.Path("");
    }
    return outcome;
  }

 private:
  // Whether the run is done; or why_.
  bool RunLeg(const Leg& leg, bool calm) {
    Command command = {.config = config_, .out = kOut, .ranks = leg.ranks, .start = leg.start};
    command.arguments = {"--ledger", "--set", absl::StrCat("steps=", schedule_.recipe->steps)};
    for (const std::string& setting : leg.settings) {
      command.arguments.insert(command.arguments.end(), {"--set", setting});
    }
    command.launcher_arguments = leg.launcher_arguments;
    if (!leg.faults.empty()) command.environment = {absl::StrCat("LOCKSTEP_FAULTS=", leg.faults)};
    disturbed_ = false;
    ++legs_;
    ++tally_.starts;
    Sight sight(work_.Path(kOut));
    process_ = work_.Start(command);
    leg_began_ = Now();
    std::vector<Pending> pending;
    for (const Action& action : leg.actions) pending.push_back({action, -1});
    while (process_->Running()) {
      if (Now() > limit_) {
        Fail("it hangs: not done within the time of a schedule");
        return false;
      }
      Fire(sight, &pending);
      WakeTheStopped();
      Resume();
      std::this_thread::sleep_for(kPoll);
    }
    const int code = process_->Wait();
    const std::string output = process_->Output();
    std::ofstream(work_.Path(absl::StrCat("leg-", legs_, ".log")))
        << (calm ? "undisturbed: " : "") << Describe(leg) << "\nexit code " << code << "\n"
        << output;
    helpers_.clear();
    resume_at_ = -1;
    CountWhatHappened(output);
    const double end_by = Now() + kRanksEndSeconds;
    while (!work_.Ranks(kOut).empty() && Now() < end_by) {
      WakeTheStopped();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (!work_.Ranks(kOut).empty()) {
      Fail("ranks outlive their launcher");
      return false;
    }
    return Judge(leg, calm, code, output);
  }

  bool Judge(const Leg& leg, bool calm, int code, const std::string& output) {
    for (const char* bad : {"Check failed", "Sanitizer:", "runtime error:", "terminate called", "signal 11",
                            "Segmentation", "signal 6 ", "Aborted", "signal 8 ", "signal 7 "}) {
      if (absl::StrContains(output, bad)) {
        Fail(absl::StrCat("a crash: '", bad, "'"), output);
        return false;
      }
    }
    const std::string status = work_.ResultField(kOut, "status");
    if (status == "\"done\"") return true;
    if (calm) {
      Fail(absl::StrCat("an undisturbed start ended with exit code ", code, ", status ", status), output);
      return false;
    }
    const bool error_injected = absl::StrContains(output, ":error");
    // Of mpirun: 0 though ranks were killed, and 1 for many things of its own.
    const bool by_mpirun = leg.start == StartWith::kRecovery;
    const bool planned = code == 0 && (status == "\"interrupted\"" || by_mpirun);
    const bool of_disturbance = disturbed_ && (code == 4 || code > 128 || (by_mpirun && code == 1));
    const bool of_error = error_injected && (code == 1 || code == 5);
    if (planned || of_disturbance || of_error) return false;
    Fail(absl::StrCat("leg ", legs_, " ended with exit code ", code, ", status ", status), output);
    return false;
  }

  struct Pending {
    Action action;
    double due = -1;  // once its time has come
  };

  void Fire(Sight& sight, std::vector<Pending>* pending) {
    if (pending->empty()) return;
    const int step = sight.Step(), generation = sight.Generation(), saves = sight.Saves();
    const double now = Now();
    for (auto one = pending->begin(); one != pending->end();) {
      const Action& action = one->action;
      const int seen = action.when == Action::When::kStep         ? step
                       : action.when == Action::When::kGeneration ? generation
                       : action.when == Action::When::kSave       ? saves
                                                            : static_cast<int>((now - leg_began_) * 1000);
      if (one->due < 0 && seen >= action.at && (seen > 0 || action.when == Action::When::kStart)) {
        one->due = now + 1e-6 * action.later_us;
      }
      if (one->due < 0 || now < one->due) {
        ++one;
        continue;
      }
      Do(action);
      one = pending->erase(one);
    }
  }

  void Do(const Action& action) {
    switch (action.what) {
      case Action::What::kKill:
        return SignalRanks(action, SIGKILL, "killed from outside");
      case Action::What::kStop:
        return SignalRanks(action, SIGSTOP, "stopped from outside");
      case Action::What::kEndJob: {
        Happened("whole jobs killed");
        process_->Signal(SIGKILL);
        for (const pid_t rank : work_.Ranks(kOut)) kill(rank, SIGKILL);
        return;
      }
      case Action::What::kTerminate:
        Happened("SIGTERM to the launcher");
        return process_->Signal(SIGTERM);
      case Action::What::kCtl:
        Happened(absl::StrCat("ctl ", action.ctl.substr(0, action.ctl.find(' '))));
        helpers_.push_back(Ctl(action.ctl));
        if (action.ctl == "pause") resume_at_ = Now() + 0.3;
        return;
    }
  }

  std::unique_ptr<Subprocess> Ctl(const std::string& request) const {
    std::vector<std::string> words = {ProgramPath(), "ctl", work_.Path(kOut)};
    for (const auto word : absl::StrSplit(request, ' ')) words.emplace_back(word);
    return std::make_unique<Subprocess>(words);
  }

  // A pause that nobody ends would last.
  void Resume() {
    if (resume_at_ < 0 || Now() < resume_at_) return;
    if (resume_ != nullptr && resume_->Running()) return;
    if (resume_ != nullptr && resume_->Wait() == 0 && resume_counts_) {
      resume_.reset();
      resume_at_ = -1;
      return;
    }
    resume_counts_ = AreHelpersDone();  // else the pause may come behind it
    resume_ = Ctl("resume");
    resume_at_ = Now() + 0.2;
  }
  bool AreHelpersDone() const {
    return std::none_of(helpers_.begin(), helpers_.end(), [](const auto& one) { return one->Running(); });
  }

  void SignalRanks(const Action& action, int signal, const std::string& name) {
    std::vector<pid_t> ranks = work_.Ranks(kOut);
    for (int i = 0; i < action.victims && !ranks.empty(); ++i) {
      const auto victim = ranks.begin() + static_cast<int64_t>((action.choice >> i) % ranks.size());
      if (kill(*victim, signal) == 0) Happened(name);
      ranks.erase(victim);
    }
  }

  void Happened(const std::string& kind) {
    ++tally_.faults[kind];
    disturbed_ = true;
  }

  // Whoever stopped, by whichever way, wakes up again: often after it was voted out.
  void WakeTheStopped() {
    const double now = Now();
    if (now < next_look_) return;
    next_look_ = now + 0.03;
    for (const pid_t rank : work_.Ranks(kOut)) {
      if (StateOf(rank) != 'T') {
        stopped_.erase(rank);
        continue;
      }
      const auto since = stopped_.emplace(rank, now).first->second;
      if (now - since < schedule_.wakes_after) continue;
      if (kill(rank, SIGCONT) == 0) ++tally_.faults["woken"];
      stopped_.erase(rank);
    }
  }

  void CountWhatHappened(const std::string& output) {
    best_is_lost_ |= absl::StrContains(output, ", the best one, died with the rank");
    tally_.recoveries += Count(output, ": going on with ");
    tally_.restarts += Count(output, "; starting another in ");
    tally_.all_again += Count(output, "starting all again");
    constexpr absl::string_view kMark = "injected fault now: ";
    for (absl::string_view line : absl::StrSplit(output, '\n')) {
      const size_t at = line.find(kMark);
      if (at == line.npos) continue;
      const std::vector<std::string> words = absl::StrSplit(line.substr(at + kMark.size()), ':');
      if (words.size() < 4) continue;
      const std::string action = words[3].substr(0, words[3].find_first_of("= "));
      Happened(absl::StrCat("at fault points: ", action));
      ++tally_.places[words[0].substr(0, 5) == "lane." ? "lane.N" : words[0]];
    }
  }

  void Fail(const std::string& why, const std::string& output = "") {
    why_ = why;
    if (!output.empty()) absl::StrAppend(&why_, "\n", Tail(output, 3000));
    if (process_ == nullptr || !process_->Running()) return EndEverything();
    const std::string so_far = process_->Output();
    absl::StrAppend(&why_, "\n", Tail(so_far, 3000));
    std::ofstream(work_.Path(absl::StrCat("leg-", legs_, ".log"))) << so_far;
    for (const pid_t rank : work_.Ranks(kOut)) {
      Subprocess stacks({"/usr/bin/env", "timeout", "20", "gdb", "-p", absl::StrCat(rank), "-batch", "-ex",
                         "thread apply all bt 12"});
      (void)stacks.Wait();
      std::ofstream(work_.Path(absl::StrCat("stacks-", rank, ".txt"))) << stacks.Output();
    }
    EndEverything();
  }

  void EndEverything() {
    helpers_.clear();
    resume_.reset();
    if (process_ != nullptr && process_->Running()) process_->Signal(SIGKILL);
    for (const pid_t rank : work_.Ranks(kOut)) kill(rank, SIGKILL);
    (void)work_.RanksEnd(kOut, 5);
  }

  const Schedule& schedule_;
  const CalmRun& calm_;
  bool best_is_lost_ = false;
  const ConductOptions& options_;
  Workspace work_;
  Dice dice_;
  std::string config_, why_;
  Tally tally_;
  double limit_ = 0, leg_began_ = 0, next_look_ = 0, resume_at_ = -1;
  int legs_ = 0;
  bool disturbed_ = false, resume_counts_ = false;
  std::map<pid_t, double> stopped_;  // since when
  std::vector<std::unique_ptr<Subprocess>> helpers_;
  std::unique_ptr<Subprocess> resume_, process_;
};

}  // namespace

void Tally::Add(const Tally& other) {
  schedules += other.schedules;
  failures += other.failures;
  starts += other.starts;
  recoveries += other.recoveries;
  restarts += other.restarts;
  all_again += other.all_again;
  heals += other.heals;
  for (const auto& [kind, count] : other.faults) faults[kind] += count;
  for (const auto& [place, count] : other.places) places[place] += count;
}

Outcome Conduct(const Schedule& schedule, const CalmRun& calm, const ConductOptions& options) {
  return Conductor(schedule, calm, options).Run();
}

}  // namespace lockstep::testing
