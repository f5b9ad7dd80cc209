// Trains under random faults, one schedule after another, and expects the bits of the calm run each time.
//
//   chaos --seed 7 --schedules 40        that many schedules of the series 7
//   chaos --seed 7 --minutes 30          as many as fit
//   chaos --seed 7 --first 12 --schedules 1   number 12 of them alone, to replay it
//
// Exit code: 0 when every schedule ended in the calm run's weights, losses and ledger within its time.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tests/chaos/conduct.h"

namespace lockstep::testing {
namespace {

struct Flags {
  uint64_t seed = 0;
  bool seed_given = false;
  int schedules = 0;  // 0: as many as fit
  int first = 0;
  double minutes = 0;
  int jobs = 2;
  bool print = false;
  ConductOptions conduct;
};

int Usage(const std::string& what) {
  std::fprintf(
      stderr,
      "%s\nusage: chaos --seed S [--schedules N] [--minutes M] [--first K] [--jobs J] [--timeout SECONDS] "
      "[--keep] [--print]\n",
      what.c_str());
  return 2;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool Parse(int argc, char** argv, Flags* flags, std::string* error) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--keep" || word == "--print") {
      (word == "--keep" ? flags->conduct.keep : flags->print) = true;
      continue;
    }
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    bool good = false;
    if (word == "--seed") good = flags->seed_given = absl::SimpleAtoi(value, &flags->seed);
    if (word == "--schedules") good = absl::SimpleAtoi(value, &flags->schedules);
    if (word == "--first") good = absl::SimpleAtoi(value, &flags->first);
    if (word == "--jobs") good = absl::SimpleAtoi(value, &flags->jobs) && flags->jobs > 0;
    if (word == "--minutes") good = absl::SimpleAtod(value, &flags->minutes);
    if (word == "--timeout") good = absl::SimpleAtod(value, &flags->conduct.timeout_seconds);
    if (!good) {
      *error = absl::StrCat("'", word, " ", value, "' is not understood");
      return false;
    }
    ++i;
  }
  if (!flags->seed_given) flags->seed = std::random_device()() % 1000000;
  if (flags->schedules == 0 && flags->minutes == 0) flags->schedules = 40;
  return true;
}

class Series {
 public:
  explicit Series(const Flags& flags) : flags_(flags), begin_(Now()) {}

  bool Run() {
    std::printf("chaos: seed %llu\n", static_cast<unsigned long long>(flags_.seed));
    for (const Recipe& recipe : Recipes()) {
      calm_.push_back(RunCalmly(recipe));
      const Traces& traces = calm_.back().traces;
      std::printf("calm run of recipe %s: weights %s, %zu lines of metrics\n", recipe.name.c_str(),
                  traces.weights_sha256.c_str(), traces.metrics.size());
      if (traces.weights_sha256.size() < 64) {
        std::printf("it did not work\n");
        return false;
      }
    }
    std::fflush(stdout);
    next_ = flags_.first;
    std::vector<std::thread> jobs;
    for (int i = 0; i < flags_.jobs; ++i) jobs.emplace_back([this] { Work(); });
    for (std::thread& job : jobs) job.join();
    Summarize();
    return tally_.failures == 0 && tally_.schedules > 0;
  }

 private:
  void Work() {
    while (true) {
      const int number = next_++;
      if (flags_.schedules > 0 && number >= flags_.first + flags_.schedules) return;
      if (flags_.minutes > 0 && Now() - begin_ > 60 * flags_.minutes) return;
      RunOne(number);
    }
  }

  void RunOne(int number) {
    const Schedule schedule = DrawSchedule(SeedOf(flags_.seed, number));
    const size_t recipe = static_cast<size_t>(schedule.recipe - Recipes().data());
    if (flags_.print) {
      const std::lock_guard lock(mutex_);
      std::printf("schedule %d:\n%s", number, Describe(schedule).c_str());
      std::fflush(stdout);
    }
    const Outcome outcome = Conduct(schedule, calm_[recipe], flags_.conduct);
    const std::lock_guard lock(mutex_);
    tally_.Add(outcome.tally);
    slowest_ = std::max(slowest_, outcome.seconds);
    if (outcome.good) {
      if (flags_.conduct.keep) std::printf("schedule %d: kept in %s\n", number, outcome.folder.c_str());
      if (tally_.schedules % 20 == 0) {
        std::printf("%d schedules, %.0f s, %d failures\n", tally_.schedules, Now() - begin_, tally_.failures);
      }
    } else {
      std::printf(
          "\nFAILED: schedule %d of seed %llu after %.1f s: %s\n%s  again: scripts/chaos.sh --seed %llu "
          "--first %d --schedules 1\n  kept: %s\n\n",
          number, static_cast<unsigned long long>(flags_.seed), outcome.seconds, outcome.why.c_str(),
          Describe(schedule).c_str(), static_cast<unsigned long long>(flags_.seed), number,
          outcome.folder.c_str());
    }
    std::fflush(stdout);
  }

  void Summarize() const {
    const double wall = Now() - begin_;
    std::printf(
        "\nseed %llu, schedules %d to %d: %d ended in the calm run's bits, %d FAILED, in %.0f s (%.2f s "
        "each, the longest %.1f s)\n",
        static_cast<unsigned long long>(flags_.seed), flags_.first, flags_.first + tally_.schedules - 1,
        tally_.schedules - tally_.failures, tally_.failures, wall, wall / std::max(tally_.schedules, 1),
        slowest_);
    std::printf(
        "  %d recoveries in place, %d ranks started again, %d times all by their supervisor, %d starts "
        "of jobs, %d healed\n",
        tally_.recoveries, tally_.restarts, tally_.all_again, tally_.starts, tally_.heals);
    const auto list = [](const std::map<std::string, int>& counts) {
      return absl::StrJoin(counts, ", ", absl::PairFormatter(": "));
    };
    int faults = 0;
    for (const auto& [kind, count] : tally_.faults) faults += kind == "woken" ? 0 : count;
    std::printf("  %d faults: %s\n  fault points met: %s\n", faults, list(tally_.faults).c_str(),
                list(tally_.places).c_str());
  }

  const Flags& flags_;
  const double begin_;
  std::vector<CalmRun> calm_;
  std::atomic<int> next_{0};
  std::mutex mutex_;
  Tally tally_;
  double slowest_ = 0;
};

int Main(int argc, char** argv) {
  Flags flags;
  std::string error;
  if (!Parse(argc, argv, &flags, &error)) return Usage(error);
  return Series(flags).Run() ? 0 : 1;
}

}  // namespace
}  // namespace lockstep::testing

int main(int argc, char** argv) { return lockstep::testing::Main(argc, argv); }
