#include "tests/chaos/schedule.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lockstep::testing {
namespace {

// Three shards of a MiB.
constexpr char kWideConfig[] = R"(
model { name: "mlp" mlp { hidden: [512, 512] } }
data {
  train: "DATA/digits-train*.tfrecord" eval: "DATA/digits-test*.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 } }
optimizer { adamw { lr: 1e-3 } }
lanes: 8 global_batch: 32 seed: 2
eval { every_steps: 5 metric: "accuracy" max_records: 50 }
execution { threads: 1 checkpoint { shard_mib: 1 } }
)";

// A place where a fault may wait. Steps of places outside of a step are any.
struct Place {
  const char* name;
  bool of_step;   // reached in every step, or at a given one
  int most_hits;  // in that step, or in the run
};

const std::vector<Place>& PlacesOfSteps() {
  static const std::vector<Place> places = {
      {"step.begin", true, 1},      {"step.fetch", true, 3},      {"step.before_vote", true, 1},
      {"step.after_vote", true, 1}, {"step.update", true, 1},     {"step.mid_update", true, 1},
      {"step.committed", true, 1},  {"observe.before", true, 1},  {"observe.between", true, 2},
      {"observe.after", true, 1},   {"comm.phase", true, 12},     {"comm.exchange", true, 12},
      {"lane.", true, 1},           {"evaluate.begin", false, 4}, {"comm.phase", false, 400},
      {"comm.exchange", false, 400}};
  return places;
}
const std::vector<Place>& PlacesOfSaves() {
  static const std::vector<Place> places = {
      {"save.begin", false, 5},   {"save.commit", false, 5},      {"save.create", false, 12},
      {"save.append", false, 30}, {"save.sync", false, 12},       {"save.close", false, 12},
      {"save.rename", false, 8},  {"save.sync_folder", false, 8}, {"save.delete", false, 8},
      {"save.folders", false, 4}, {"save.list", false, 6},        {"save.read", false, 6},
      {"result.before", false, 1}};
  return places;
}
const std::vector<Place>& PlacesOfRecovery() {
  static const std::vector<Place> places = {
      {"recovery.begin", false, 2},     {"recovery.meet", false, 2},  {"recovery.transfer", false, 2},
      {"recovery.rebuild", false, 2},   {"takeover.begin", false, 1}, {"takeover.cut", false, 1},
      {"recovery.connected", false, 2}, {"join.ask", false, 1},       {"join.admitted", false, 1}};
  return places;
}

std::string DrawFault(Dice& dice, const std::vector<Place>& places, int ranks, int steps) {
  const Place& place = dice.Of(places);
  std::string name = place.name;
  if (name == "lane.") absl::StrAppend(&name, dice.Below(8));
  const std::string step =
      place.of_step ? absl::StrCat(1 + dice.Below(dice.Chance(50) ? std::min(steps, 12) : steps)) : "*";
  const int kind = dice.Below(100);
  const std::string action = kind < 55   ? "kill"
                             : kind < 67 ? "stop"
                             : kind < 82 ? absl::StrCat("delay=", dice.Of<int>({1, 10, 50, 300}))
                                         : "error";
  return absl::StrCat(name, ":", dice.Below(ranks), ":", step, ":", action, ":",
                      1 + dice.Below(place.most_hits));
}

std::string DrawFaults(Dice& dice, int ranks, int steps) {
  std::vector<std::string> faults;
  const int first = dice.Below(4);
  for (int i = 0; i < first; ++i) {
    faults.push_back(DrawFault(dice, dice.Chance(70) ? PlacesOfSteps() : PlacesOfSaves(), ranks, steps));
  }
  // Where something dies, more may while the others recover.
  const int more = dice.Chance(50) ? dice.Between(1, 3) : 0;
  for (int i = 0; i < more; ++i) faults.push_back(DrawFault(dice, PlacesOfRecovery(), ranks, steps));
  // Several at once: the same place and step, other ranks.
  if (ranks > 2 && dice.Chance(25)) {
    const int step = 1 + dice.Below(steps);
    const Place& place = PlacesOfSteps()[static_cast<size_t>(dice.Below(10))];
    const int dead = dice.Between(2, ranks - 1), from = dice.Below(ranks);
    for (int i = 0; i < dead; ++i) {
      faults.push_back(absl::StrCat(place.name, ":", (from + i) % ranks, ":", step, ":kill"));
    }
  }
  return absl::StrJoin(faults, ",");
}

Action DrawAction(Dice& dice, int ranks, int steps, bool elastic) {
  Action action;
  const int when = dice.Below(20);
  if (when < 11) {
    action.at = 1 + dice.Below(steps);
  } else if (when < 13) {
    action.when = Action::When::kStart;
    action.at = dice.Below(700);
  } else if (when < 17) {
    action.when = Action::When::kGeneration;
    action.at = dice.Between(2, 4);
  } else {
    action.when = Action::When::kSave;
    action.at = dice.Between(1, 3);
  }
  action.later_us = dice.Below(dice.Chance(50) ? 2000 : 30000);
  action.choice = static_cast<uint32_t>(dice.Next());
  action.victims = dice.Chance(70) ? 1 : dice.Between(1, std::max(1, ranks));
  const int what = dice.Below(100);
  if (what < 50) {
    action.what = Action::What::kKill;
  } else if (what < 66) {
    action.what = Action::What::kStop;
  } else if (what < 78 || !elastic) {
    action.what = what % 3 == 0 ? Action::What::kTerminate : Action::What::kEndJob;
  } else {
    action.what = Action::What::kCtl;
    const int verb = dice.Below(10);
    action.ctl = verb < 3   ? absl::StrCat("grow ", dice.Between(1, 8))
                 : verb < 6 ? absl::StrCat("shrink ", dice.Between(1, 4))
                 : verb < 7 ? "checkpoint"
                 : verb < 9 ? "pause"
                            : "stop";
  }
  return action;
}

// What may differ between the starts of a run without a bit of its result.
std::vector<std::string> DrawSettings(Dice& dice) {
  std::vector<std::string> settings = {"execution.stop_on_poison=false"};
  const auto set = [&](const char* name, const auto& value) {
    settings.push_back(absl::StrCat("execution.", name, "=", value));
  };
  set("comm.deadline_seconds", dice.Of<int>({1, 1, 2, 4}));
  set("comm.connect_seconds", 8);
  set("comm.backend", dice.Of<std::string>({"auto", "shm", "shm", "tcp", "tcp", "hier"}));
  set("comm.algorithm", dice.Of<std::string>({"auto", "auto", "one_shot", "two_shot"}));
  set("comm.bucket_kib", dice.Of<int>({4, 64, 4096}));
  set("threads", dice.Of<int>({1, 1, 2, 3}));
  set("checkpoint.every_steps", dice.Of<int>({2, 5, 7, 13}));
  set("checkpoint.keep_last", dice.Between(2, 3));
  set("read_ahead_steps", dice.Of<int>({1, 4}));
  set("integrity.every_steps", dice.Of<int>({0, 3, 11, 50}));
  set("integrity.check_reductions", dice.Chance(30) ? "true" : "false");
  set("events", dice.Chance(50) ? "true" : "false");
  return settings;
}

Leg DrawLeg(Dice& dice, int steps) {
  Leg leg;
  const int how = dice.Below(10);
  leg.start = how < 7 ? StartWith::kElastic : how < 9 ? StartWith::kRecovery : StartWith::kLaunch;
  leg.ranks = dice.Chance(75) ? dice.Between(2, 4) : dice.Between(1, 8);
  leg.settings = DrawSettings(dice);
  if (leg.start == StartWith::kElastic) {
    leg.launcher_arguments = {"--max-restarts", absl::StrCat(dice.Below(4)), "--grace", "3"};
  }
  leg.faults = DrawFaults(dice, leg.ranks, steps);
  const int actions = leg.faults.empty() ? dice.Between(2, 6) : dice.Below(6);
  for (int i = 0; i < actions; ++i) {
    leg.actions.push_back(DrawAction(dice, leg.ranks, steps, leg.start == StartWith::kElastic));
  }
  return leg;
}

// Memory that changes by itself. Deaths would hide whose memory it was, or leave it without a witness.
Leg DrawSilentLeg(Dice& dice, int steps) {
  Leg leg;
  leg.start = dice.Chance(50) ? StartWith::kElastic : StartWith::kLaunch;
  leg.ranks = dice.Between(2, 4);
  leg.settings = DrawSettings(dice);
  const int cadence = dice.Of<int>({3, 11, 50});
  leg.settings.push_back(absl::StrCat("execution.integrity.every_steps=", cadence));
  leg.settings.push_back("execution.comm.deadline_seconds=20");
  std::vector<std::string> faults;
  const int flips = dice.Between(1, 2);
  for (int i = 0; i < flips; ++i) {
    faults.push_back(absl::StrCat(dice.Chance(60) ? "update.parameters" : "reduce.result", ":",
                                  dice.Below(leg.ranks), ":", 1 + dice.Below(steps),
                                  ":flip=", dice.Below(60000)));
  }
  faults.push_back(absl::StrCat("comm.phase:", dice.Below(leg.ranks), ":*:delay=20:", 1 + dice.Below(99)));
  // One that dies while all go back leaves two, who can still find a difference.
  if (leg.start == StartWith::kElastic && leg.ranks > 2 && dice.Chance(40)) {
    faults.push_back(absl::StrCat(dice.Chance(50) ? "heal.back" : "heal.loaded", ":", dice.Below(leg.ranks),
                                  ":*:", dice.Chance(70) ? "kill" : "delay=100"));
  }
  leg.faults = absl::StrJoin(faults, ",");
  return leg;
}

std::string NameOf(StartWith start) {
  switch (start) {
    case StartWith::kMpirun:
      return "mpirun";
    case StartWith::kLaunch:
      return "launch";
    case StartWith::kNothing:
      return "alone";
    case StartWith::kRecovery:
      return "mpirun --enable-recovery";
    case StartWith::kElastic:
      return "launch --elastic";
  }
  return "";
}

}  // namespace

uint64_t Dice::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

uint64_t SeedOf(uint64_t series, int number) {
  Dice dice(series * 0x2545f4914f6cdd1dULL + static_cast<uint64_t>(number));
  return dice.Next();
}

const std::vector<Recipe>& Recipes() {
  static const std::vector<Recipe> recipes = {
      {"small", kSmallConfig, 400}, {"full", kFullConfig, 80}, {"wide", kWideConfig, 60}};
  return recipes;
}

Schedule DrawSchedule(uint64_t seed) {
  Dice dice(seed);
  Schedule schedule;
  schedule.seed = seed;
  const int which = dice.Below(10);
  schedule.recipe = &Recipes()[which < 6 ? 0 : which < 8 ? 1 : 2];
  schedule.wakes_after = dice.Of<double>({0.2, 1.5, 3, 6});
  const int steps = schedule.recipe->steps;
  if (dice.Chance(8)) {
    schedule.legs.push_back(DrawSilentLeg(dice, steps));
    return schedule;
  }
  const int legs = dice.Chance(60) ? 1 : dice.Between(2, 3);
  for (int i = 0; i < legs; ++i) schedule.legs.push_back(DrawLeg(dice, steps));
  return schedule;
}

Leg DrawCalmLeg(Dice& dice) {
  Leg leg;
  leg.start = dice.Of<StartWith>({StartWith::kElastic, StartWith::kMpirun, StartWith::kLaunch});
  leg.ranks = dice.Between(1, 5);
  leg.settings = {"execution.stop_on_poison=false", "execution.checkpoint.every_steps=20"};
  return leg;
}

std::string Describe(const Action& action) {
  std::string text;
  switch (action.when) {
    case Action::When::kStep:
      text = absl::StrCat("at step ", action.at);
      break;
    case Action::When::kGeneration:
      text = absl::StrCat("when generation ", action.at, " is called for");
      break;
    case Action::When::kSave:
      text = absl::StrCat("in save ", action.at);
      break;
    case Action::When::kStart:
      text = absl::StrCat(action.at, " ms after the start");
      break;
  }
  absl::StrAppend(&text, " + ", action.later_us, " us: ");
  switch (action.what) {
    case Action::What::kKill:
      return absl::StrCat(text, "kill ", action.victims, " (", action.choice, ")");
    case Action::What::kStop:
      return absl::StrCat(text, "stop ", action.victims, " (", action.choice, ")");
    case Action::What::kEndJob:
      return absl::StrCat(text, "kill all, the launcher too");
    case Action::What::kTerminate:
      return absl::StrCat(text, "SIGTERM to the launcher");
    case Action::What::kCtl:
      return absl::StrCat(text, "ctl ", action.ctl);
  }
  return text;
}

std::string Describe(const Leg& leg) {
  std::string text =
      absl::StrCat(NameOf(leg.start), ", ", leg.ranks, " ranks ", absl::StrJoin(leg.launcher_arguments, " "),
                   "\n      ", absl::StrJoin(leg.settings, " "), "\n");
  if (!leg.faults.empty()) absl::StrAppend(&text, "      LOCKSTEP_FAULTS=", leg.faults, "\n");
  for (const Action& action : leg.actions) absl::StrAppend(&text, "      ", Describe(action), "\n");
  return text;
}

std::string Describe(const Schedule& schedule) {
  std::string text = absl::StrCat("  recipe ", schedule.recipe->name, ", ", schedule.recipe->steps,
                                  " steps; the stopped wake after ", schedule.wakes_after, " s\n");
  for (const Leg& leg : schedule.legs) absl::StrAppend(&text, "    ", Describe(leg));
  return text;
}

}  // namespace lockstep::testing
