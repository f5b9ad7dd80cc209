// What a run is to go through, drawn from a seed: how often and how it is started, the faults that its ranks
// meet, and what is done to it from outside. The same seed is the same schedule; when a step meets what, down
// to the microsecond, is the machine's affair.
#ifndef LOCKSTEP_TESTS_CHAOS_SCHEDULE_H_
#define LOCKSTEP_TESTS_CHAOS_SCHEDULE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/integration/training_run.h"

namespace lockstep::testing {

// Numbers from a seed that are the same everywhere (SplitMix64), unlike those of <random>'s distributions.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  int Below(int n) { return static_cast<int>(Next() % static_cast<uint64_t>(n)); }
  int Between(int least, int most) { return least + Below(most - least + 1); }
  bool Chance(int percent) { return Below(100) < percent; }
  template <typename T>
  const T& Of(const std::vector<T>& choices) {
    return choices[static_cast<size_t>(Below(static_cast<int>(choices.size())))];
  }

 private:
  uint64_t state_;
};

// The seed of schedule `number` of a series.
uint64_t SeedOf(uint64_t series, int number);

// A run that ends in the same bits however it is disturbed.
struct Recipe {
  std::string name, config;
  int steps = 0;
};
// Chosen to be short and to have everything that could be lost: `small` takes tens of milliseconds, `full` has
// batch norm, a moving average and several buckets, `wide` has checkpoints of several shards.
const std::vector<Recipe>& Recipes();

// Something done to a run from outside: once it has got to step `at`, calls for generation `at`, is in the
// `at`-th save that is seen, or has been started `at` milliseconds ago.
struct Action {
  enum class When { kStep, kGeneration, kSave, kStart } when = When::kStep;
  enum class What { kKill, kStop, kEndJob, kTerminate, kCtl } what = What::kKill;
  int at = 0;
  int later_us = 0;     // after that
  int victims = 1;      // of kKill and kStop: so many ranks at once
  uint32_t choice = 0;  // which
  std::string ctl;      // the words of `lockstep ctl RUN`
};

// From a start of the job to its end.
struct Leg {
  StartWith start = StartWith::kElastic;
  int ranks = 1;
  std::vector<std::string> settings;            // of --set
  std::vector<std::string> launcher_arguments;  // of `lockstep launch`
  std::string faults;                           // LOCKSTEP_FAULTS
  std::vector<Action> actions;                  // in the order of their times
};

struct Schedule {
  uint64_t seed = 0;
  const Recipe* recipe = nullptr;
  double wakes_after = 1;  // seconds after which whoever was stopped is continued
  std::vector<Leg> legs;   // those that follow are undisturbed, until the run is done
};

Schedule DrawSchedule(uint64_t seed);
// The start after a leg that did not finish the run, without faults: the run must then get done.
Leg DrawCalmLeg(Dice& dice);

// For people, one line a leg and action.
std::string Describe(const Schedule& schedule);
std::string Describe(const Leg& leg);
std::string Describe(const Action& action);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_CHAOS_SCHEDULE_H_
