// Ranks die, hang, come and go while a run trains, and it ends as the calm run, bit for bit. Through the real
// program and real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// 3.7 MB of parameters and optimizer state: three shards of a MiB.
constexpr char kWideConfig[] = R"(
model { name: "mlp" mlp { hidden: [512, 512] } }
data {
  train: "DATA/digits-train*.tfrecord" eval: "DATA/digits-test*.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 } }
optimizer { adamw { lr: 1e-3 } }
lanes: 8 global_batch: 32 steps: 12 seed: 1
eval { every_steps: 5 metric: "accuracy" max_records: 50 keep_best: false }
execution { threads: 1 checkpoint { shard_mib: 1 } }
)";

class Elastic : public ::testing::Test {
 protected:
  Elastic() : config_(work_.WriteConfig("small", kSmallConfig)) {}

  Command CommandFor(const std::string& out, int ranks, StartWith start,
                     const std::string& faults = "") const {
    Command command = {.config = config_, .out = out, .ranks = ranks, .start = start};
    command.arguments = {"--ledger",
                         "--set",
                         absl::StrCat("steps=", steps_),
                         "--set",
                         absl::StrCat("execution.checkpoint.every_steps=", save_every_),
                         "--set",
                         absl::StrCat("execution.comm.deadline_seconds=", deadline_)};
    if (!faults.empty()) command.environment = {absl::StrCat("LOCKSTEP_FAULTS=", faults)};
    return command;
  }
  // `launch --elastic` that starts nothing again: whoever dies stays away.
  static Command WithoutRestarts(Command command) {
    command.launcher_arguments = {"--max-restarts", "0"};
    return command;
  }

  Traces Calm() const {
    const Ended run = work_.Train(CommandFor("calm", 1, StartWith::kNothing));
    EXPECT_EQ(run.code, 0) << run.output;
    return work_.TracesOf("calm");
  }

  void ExpectCalm(const Traces& calm, const std::string& out, const std::string& output) const {
    EXPECT_EQ(work_.ResultField(out, "status"), "\"done\"") << output;
    EXPECT_EQ(work_.TracesOf(out), calm) << output;
    EXPECT_TRUE(work_.RanksEnd(out, 10)) << "ranks outlive their run";
    for (const auto& entry : fs::directory_iterator(work_.Path(out + "/checkpoints"))) {
      EXPECT_THAT(entry.path().filename().string(), Not(::testing::StartsWith("."))) << "half-written";
    }
  }

  // A run whose ranks meet `faults`.
  void ExpectSurvives(const Traces& calm, const Command& command, const std::string& generations) const {
    SCOPED_TRACE(command.environment.empty() ? command.out : command.environment[0]);
    const Ended run = work_.Train(command);
    ExpectCalm(calm, command.out, run.output);
    if (!generations.empty()) {
      EXPECT_EQ(work_.ResultField(command.out, "generations"), generations) << run.output;
    }
    EXPECT_THAT(run.output, Not(HasSubstr("Check failed")));
  }

  int LinesOf(const std::string& out) const {
    const std::string metrics = work_.Read(out + "/metrics.jsonl");
    return static_cast<int>(std::count(metrics.begin(), metrics.end(), '\n'));
  }
  bool GoesOn(const std::string& out, int more) const {
    const int before = LinesOf(out);
    return WaitUntil([&] { return LinesOf(out) >= before + more; });
  }
  // The program's `ctl`.
  Ended Ctl(const std::string& out, const std::string& request) const {
    std::vector<std::string> words = {ProgramPath(), "ctl", work_.Path(out)};
    for (const auto word : absl::StrSplit(request, ' ')) words.emplace_back(word);
    Subprocess process(words);
    const int code = process.Wait();
    return {code, process.Output()};
  }
  Ended Verify(const std::string& out) const {
    Subprocess process({ProgramPath(), "checkpoint", "verify", work_.Path(out)});
    const int code = process.Wait();
    return {code, process.Output()};
  }
  bool HasRanks(const std::string& out, const std::string& ranks) const {
    return WaitUntil([&] { return absl::StrContains(Ctl(out, "status").output, ranks + " as generation"); });
  }

  const Workspace work_;
  std::string config_;
  int steps_ = 60;
  int save_every_ = 7;
  int deadline_ = 20;
};

TEST_F(Elastic, DeathsOneByOneDownToOneRank) {
  const Traces calm = Calm();
  // Rank 0 among them. `rank` is the one that the launcher gave.
  const std::string faults = "step.begin:2:11:kill,step.before_vote:0:20:kill,step.committed:1:31:kill";
  ExpectSurvives(calm, WithoutRestarts(CommandFor("launch", 4, StartWith::kElastic, faults)), "4");
  Subprocess version({"/usr/bin/env", LOCKSTEP_MPIRUN, "--version"});
  (void)version.Wait();
  if (!absl::StrContains(version.Output(), "Open MPI"))
    GTEST_SKIP() << "the other launcher ends all with one";
  ExpectSurvives(calm, CommandFor("mpirun", 4, StartWith::kRecovery, faults), "4");
}

// One death at every place of a step, a validation and a save, of the rank that writes and of another.
TEST_F(Elastic, DeathsAtEveryPlace) {
  const Traces calm = Calm();
  const std::vector<std::string> places = {
      "step.begin:R:14",      "step.fetch:R:14:2",      "step.before_vote:R:14", "step.after_vote:R:14",
      "step.update:R:14",     "step.mid_update:R:14",   "step.committed:R:14",   "observe.before:R:14",
      "observe.between:R:14", "observe.between:R:14:2", "observe.after:R:14",    "evaluate.begin:R:18",
      "save.begin:R:14",      "save.commit:R:*",        "result.before:R:*"};
  int number = 0;
  for (const std::string& place : places) {
    for (const char* rank : {"0", "2"}) {
      const bool of_writer = absl::StartsWith(place, "observe") || absl::StartsWith(place, "save.commit");
      if (of_writer && *rank != '0') continue;
      std::vector<std::string> words = absl::StrSplit(place, ':');
      words[1] = rank;
      words.insert(words.begin() + 3, "kill");
      ExpectSurvives(calm,
                     WithoutRestarts(CommandFor(absl::StrCat("place-", ++number), 3, StartWith::kElastic,
                                                absl::StrJoin(words, ":"))),
                     "2");
    }
  }
}

// A bit flips in one rank's memory, and ranks die while all go back for that, and while the steps are done
// again.
TEST_F(Elastic, DeathsWhileTheRunIsHealed) {
  const Traces calm = Calm();
  int number = 0;
  for (const char* death : {"heal.back:0:*:kill", "heal.back:2:*:kill", "heal.loaded:0:*:kill",
                            "heal.loaded:1:*:kill", "step.begin:0:16:kill:2", "step.committed:1:18:kill:2"}) {
    const std::string out = absl::StrCat("heal-", number++);
    Command command = WithoutRestarts(
        CommandFor(out, 3, StartWith::kElastic, absl::StrCat("update.parameters:1:16:flip=2010,", death)));
    command.arguments.insert(command.arguments.end(), {"--set", "execution.integrity.every_steps=5"});
    ExpectSurvives(calm, command, "2");
    EXPECT_THAT(work_.Read(out + "/integrity.jsonl"), HasSubstr("diverged")) << death;
  }
}

// Going on with other members mends no memory: where going back is in vain, the run ends.
TEST_F(Elastic, WhatIsInVainIsGivenUp) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"execution.integrity.max_heals=0", "update.parameters:1:8:flip=2010"},
      {"execution.integrity.check_reductions=true",
       "reduce.result:1:9:flip=1,reduce.result:1:9:flip=1:2,reduce.result:1:9:flip=1:3"}};
  for (size_t i = 0; i < cases.size(); ++i) {
    Command command = CommandFor(absl::StrCat("vain-", i), 3, StartWith::kLaunch, cases[i].second);
    command.arguments.insert(command.arguments.end(),
                             {"--set", "execution.recovery=ON", "--set", "execution.integrity.every_steps=5",
                              "--set", cases[i].first});
    const Ended run = work_.Train(command);
    EXPECT_EQ(run.code, 4) << run.output;
    EXPECT_THAT(run.output, Not(HasSubstr("generation 3"))) << "they do not try for ever";
  }
}

// Checkpoints by several writers, some of which die.
TEST_F(Elastic, DeathsOfWhoWritesCheckpointsTogether) {
  steps_ = 30;
  config_ = work_.WriteConfig("wide", kWideConfig);
  const Traces calm = Calm();
  int number = 0;
  for (const char* death : {"save.begin:1:14:kill", "save.begin:0:14:kill", "save.commit:0:*:kill",
                            "step.begin:2:15:kill", "step.begin:0:22:kill"}) {
    const std::string out = absl::StrCat("team-", number++);
    ExpectSurvives(calm, WithoutRestarts(CommandFor(out, 3, StartWith::kElastic, death)), "2");
    // The last one is of the two that are left.
    std::string names;
    for (const auto& entry : fs::directory_iterator(work_.Path(out + "/checkpoints/step-00000030"))) {
      absl::StrAppend(&names, entry.path().filename().string(), " ");
    }
    EXPECT_THAT(names, HasSubstr("-of-00002.safetensors")) << death;
    EXPECT_EQ(Verify(out).code, 0) << death;
  }
}

// The best state so far, of step 18, is on its way to the disk when the rank that writes it dies, some steps
// later: the next one has a copy.
TEST_F(Elastic, TheBestCheckpointOutlivesItsWriter) {
  steps_ = 22;
  std::string wide(kWideConfig);
  wide.replace(wide.find("keep_best: false"), 16, "keep_best: true ");
  wide.replace(wide.find("every_steps: 5"), 14, "every_steps: 9");
  struct Case {
    std::string name, config;
    int save_every;
    std::string faults;
  };
  const std::string configs[] = {config_, work_.WriteConfig("wide", wide)};
  const std::vector<Case> cases = {
      // (A run whose folder has the name of the file that marks the best is one, too.)
      {"best", configs[0], 0, "save.commit:0:*:delay=3000:2,step.begin:0:20:kill"},
      // A later save waits behind it.
      {"behind", configs[0], 10, "save.commit:0:*:delay=1500:3,save.commit:0:*:kill:3"},
      // By a team, of which another rank dies.
      {"team", configs[1], 0, "save.commit:0:*:delay=3000:2,step.begin:2:20:kill"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    config_ = c.config;
    save_every_ = c.save_every;
    const std::string calm = "calm-" + c.name;
    Command alone = CommandFor(calm, 1, StartWith::kNothing);
    Command disturbed = WithoutRestarts(CommandFor(c.name, 3, StartWith::kElastic, c.faults));
    for (Command* command : {&alone, &disturbed}) {
      command->arguments.insert(command->arguments.end(), {"--set", "eval.metric=loss"});  // it falls
    }
    EXPECT_EQ(work_.Train(alone).code, 0);
    const Ended run = work_.Train(disturbed);
    ExpectCalm(work_.TracesOf(calm), c.name, run.output);
    EXPECT_THAT(run.output, HasSubstr("the checkpoint of step 18, the best one, which was being written"));
    EXPECT_EQ(work_.Read(c.name + "/checkpoints/best"), work_.Read(calm + "/checkpoints/best"));
    Subprocess diff({ProgramPath(), "checkpoint", "diff", work_.Path(c.name + "/checkpoints/step-00000018"),
                     work_.Path(calm + "/checkpoints/step-00000018")});
    (void)diff.Wait();
    EXPECT_THAT(diff.Output(), HasSubstr("the same state"));
    const Ended verified = Verify(c.name);
    EXPECT_EQ(verified.code, 0) << verified.output;
  }
}

// The supervisor waits before it starts all again, and is told to stop meanwhile: the run is not done.
TEST_F(Elastic, ASignalWhileNobodyIsThere) {
  save_every_ = 0;
  const auto run = work_.Start(CommandFor("nobody", 1, StartWith::kElastic, "step.begin:0:5:kill"));
  ASSERT_TRUE(run->WaitForOutput("starting all again from the newest checkpoint in 1.6s", 1))
      << run->Output();
  run->Signal(SIGTERM);
  EXPECT_EQ(run->Wait(), 143) << run->Output();
}

// A rank dies before all have met: mpirun does not end the others, and PMIx waits for ever.
TEST_F(Elastic, ADeathBeforeAllHaveMetEndsTheStart) {
  for (const char* faults :
       {"start.meet:1:*:kill,start.meet:2:*:delay=700", "start.meet:1:*:delay=700,start.meet:1:*:kill"}) {
    Command command = CommandFor("unmet", 3, StartWith::kRecovery, faults);
    command.arguments.insert(command.arguments.end(), {"--set", "execution.comm.connect_seconds=2"});
    const auto begin = std::chrono::steady_clock::now();
    (void)work_.Train(command);
    EXPECT_TRUE(work_.RanksEnd("unmet", 10)) << faults;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(40)) << faults;
    EXPECT_EQ(work_.ResultField("unmet", "status"), "") << faults;
  }
}

TEST_F(Elastic, SeveralAtOnceAndMoreWhileTheOthersRecover) {
  const Traces calm = Calm();
  const std::vector<std::string> schedules = {
      "step.begin:0:9:kill,step.begin:1:9:kill,step.begin:3:9:kill",
      "step.after_vote:1:9:kill,recovery.begin:0:*:kill", "step.after_vote:1:9:kill,recovery.meet:0:*:kill",
      "step.after_vote:1:9:kill,recovery.rebuild:0:*:kill,recovery.begin:2:*:kill:2",
      "step.begin:0:9:kill,takeover.begin:1:*:kill,takeover.cut:2:*:kill",
      // Rank 3 has committed step 9, the others have not, and it dies while it hands the state over.
      "step.before_vote:0:10:kill,recovery.transfer:3:*:kill"};
  int number = 0;
  for (const std::string& faults : schedules) {
    ExpectSurvives(
        calm, WithoutRestarts(CommandFor(absl::StrCat("several-", ++number), 4, StartWith::kElastic, faults)),
        "");
  }
}

TEST_F(Elastic, TheDeadAreStartedAgainAndJoin) {
  steps_ = 3000;
  save_every_ = 500;
  const Traces calm = Calm();
  const auto run = work_.Start(CommandFor("join", 3, StartWith::kElastic));
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(GoesOn("join", 5)) << run->Output();
    ASSERT_TRUE(HasRanks("join", "3 ranks")) << run->Output();
    const std::vector<pid_t> ranks = work_.Ranks("join");
    ASSERT_FALSE(ranks.empty());
    kill(ranks[round % ranks.size()], SIGKILL);
  }
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  ExpectCalm(calm, "join", run->Output());
}

TEST_F(Elastic, DeathsOfNewcomers) {
  steps_ = 3000;
  save_every_ = 500;
  const Traces calm = Calm();
  // A process that is started again reads the list again: each newcomer in this place dies.
  for (const char* place : {"join.ask", "join.admitted", "recovery.transfer", "recovery.rebuild"}) {
    Command command = CommandFor(absl::StrCat("newcomer-", place), 3, StartWith::kElastic,
                                 absl::StrCat("step.begin:1:9:kill,", place, ":1:*:kill"));
    command.launcher_arguments = {"--max-restarts", "2"};
    ExpectSurvives(calm, command, "");
  }
}

TEST_F(Elastic, AHangIsVotedOut) {
  deadline_ = 2;
  const Traces calm = Calm();
  ExpectSurvives(calm, WithoutRestarts(CommandFor("hang", 3, StartWith::kElastic, "step.begin:0:9:stop")),
                 "2");
  ExpectSurvives(
      calm, WithoutRestarts(CommandFor("hang-2", 3, StartWith::kElastic, "step.after_vote:1:9:stop")), "2");
}

TEST_F(Elastic, AllDeadStartsFromTheCheckpoint) {
  steps_ = 3000;
  save_every_ = 97;
  const Traces calm = Calm();
  const auto run = work_.Start(CommandFor("all", 2, StartWith::kElastic));
  ASSERT_TRUE(GoesOn("all", 100)) << run->Output();
  for (const pid_t rank : work_.Ranks("all")) kill(rank, SIGSTOP);  // so that none notices the others' deaths
  for (const pid_t rank : work_.Ranks("all")) kill(rank, SIGKILL);
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  EXPECT_THAT(run->Output(), HasSubstr("starting all again"));
  ExpectCalm(calm, "all", run->Output());
}

TEST_F(Elastic, WithoutRecoveryTheWholeIsStartedAgain) {
  steps_ = 3000;
  save_every_ = 97;
  const Traces calm = Calm();
  Command command = CommandFor("off", 3, StartWith::kElastic);
  command.arguments.insert(command.arguments.end(), {"--set", "execution.recovery=OFF"});
  const auto run = work_.Start(command);
  ASSERT_TRUE(GoesOn("off", 100)) << run->Output();
  kill(work_.Ranks("off").back(), SIGKILL);
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  EXPECT_THAT(run->Output(), HasSubstr("starting all again"));
  EXPECT_EQ(work_.ResultField("off", "generations"), "1");
  ExpectCalm(calm, "off", run->Output());
}

TEST_F(Elastic, AStrangerIsRefusedWhileTrainingGoesOn) {
  steps_ = 3000;
  save_every_ = 97;
  const Traces calm = Calm();
  const auto run = work_.Start(CommandFor("stranger", 2, StartWith::kElastic));
  ASSERT_TRUE(GoesOn("stranger", 3)) << run->Output();
  Command other = CommandFor("stranger", 1, StartWith::kNothing);
  other.arguments.insert(other.arguments.end(), {"--set", "seed=77"});
  other.environment = {"LOCKSTEP_JOIN=1"};
  const Ended refused = work_.Train(other);
  EXPECT_EQ(refused.code, 2) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("recipe"));
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  ExpectCalm(calm, "stranger", run->Output());
}

TEST_F(Elastic, CtlChangesARunWhileItTrains) {
  steps_ = 6000;
  save_every_ = 0;
  const Traces calm = Calm();
  const auto run = work_.Start(CommandFor("ctl", 3, StartWith::kElastic));
  ASSERT_TRUE(GoesOn("ctl", 3)) << run->Output();
  EXPECT_EQ(Ctl("ctl", "pause").code, 0);
  EXPECT_EQ(Ctl("ctl", "pause").code, 0)
      << "again; and the vote that carried the first was the last of a step";
  const int lines = LinesOf("ctl");
  const Ended status = Ctl("ctl", "status");
  EXPECT_THAT(status.output,
              AllOf(HasSubstr("paused"), HasSubstr("3 ranks as generation 1"), HasSubstr("rank 2: ")));
  EXPECT_EQ(Ctl("ctl", "shrink 1").code, 0);
  EXPECT_TRUE(HasRanks("ctl", "1 rank"));
  EXPECT_EQ(Ctl("ctl", "shrink 0").code, 2);
  EXPECT_EQ(Ctl("ctl", "grow 9").code, 2);
  EXPECT_EQ(Ctl("ctl", "grow 2").code, 0);
  EXPECT_TRUE(HasRanks("ctl", "2 ranks")) << run->Output();
  EXPECT_EQ(Ctl("ctl", "checkpoint").code, 0);
  EXPECT_TRUE(WaitUntil([&] { return fs::exists(work_.Path("ctl/checkpoints")); }));
  EXPECT_EQ(LinesOf("ctl"), lines) << "it stands still";
  const Ended second = work_.Train(CommandFor("ctl", 2, StartWith::kElastic));
  EXPECT_EQ(second.code, 2);
  EXPECT_THAT(second.output, HasSubstr("supervisor"));
  EXPECT_EQ(Ctl("ctl", "resume").code, 0);
  ASSERT_TRUE(GoesOn("ctl", 3)) << run->Output();
  EXPECT_EQ(Ctl("ctl", "stop").code, 0);
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  EXPECT_EQ(work_.ResultField("ctl", "status"), "\"interrupted\"");
  EXPECT_EQ(Ctl("ctl", "status").code, 2) << "nobody is there any more";
  ExpectSurvives(calm, CommandFor("ctl", 2, StartWith::kElastic), "1");
}

// LOCKSTEP_SEED and LOCKSTEP_ROUNDS choose other schedules, and more of them.
TEST_F(Elastic, KilledAndStoppedFromOutsideAtRandom) {
  steps_ = 4000;
  save_every_ = 97;
  deadline_ = 3;
  const Traces calm = Calm();
  const char* const seed_text = std::getenv("LOCKSTEP_SEED");
  const char* const rounds_text = std::getenv("LOCKSTEP_ROUNDS");
  const unsigned seed = seed_text != nullptr ? std::strtoul(seed_text, nullptr, 10) : 20260131;
  const int rounds = rounds_text != nullptr ? std::atoi(rounds_text) : 1;
  std::mt19937 random(seed);
  for (int round = 0; round < rounds; ++round) {
    const std::string out = absl::StrCat("random-", round);
    const auto run = work_.Start(CommandFor(out, 4, StartWith::kElastic));
    for (int i = 0; i < 5; ++i) {
      if (!GoesOn(out, 1 + static_cast<int>(random() % 50))) break;
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 20000));
      std::vector<pid_t> ranks = work_.Ranks(out);
      std::shuffle(ranks.begin(), ranks.end(), random);
      const size_t victims = std::min<size_t>(1 + random() % 2, ranks.size());
      for (size_t v = 0; v < victims; ++v) kill(ranks[v], random() % 4 == 0 ? SIGSTOP : SIGKILL);
    }
    EXPECT_EQ(run->Wait(), 0) << "seed " << seed << " round " << round << "\n" << run->Output();
    SCOPED_TRACE(absl::StrCat("seed ", seed, " round ", round));
    ExpectCalm(calm, out, run->Output());
  }
}

}  // namespace
}  // namespace lockstep::testing
