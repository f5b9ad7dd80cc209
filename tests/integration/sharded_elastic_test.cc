// Ranks with a sharded optimizer die, come and go: with mirrors nothing is lost; without them the run goes back to its
// newest checkpoint. Either way it ends as the calm run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Shards cut through its tensors; AdamW, a moving average and batch norm are state of three kinds.
constexpr char kConfig[] = R"(
model { layers {
  flatten {} linear { features: 160 } batch_norm {} relu {} linear { features: 128 } relu {} linear { features: 10 } } }
data {
  train: "DATA/digits-train*.tfrecord" eval: "DATA/digits-test*.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 } }
optimizer { adamw { lr: 1e-3 } clip_norm: 0.5 }
ema { decay: 0.9 }
lanes: 8 global_batch: 32 steps: 40 seed: 1
eval { every_steps: 9 metric: "accuracy" max_records: 50 }
execution { threads: 1 optimizer_state: SHARDED checkpoint { every_steps: 7 } comm { bucket_kib: 32 deadline_seconds: 20 } }
)";

class ShardedElastic : public ::testing::Test {
 protected:
  ShardedElastic() : config_(work_.WriteConfig("sharded", kConfig)) {}

  Command CommandFor(const std::string& out, int ranks, const std::string& faults = "",
                     const std::vector<std::string>& settings = {}) const {
    Command command = {.config = config_, .out = out, .ranks = ranks, .start = StartWith::kElastic};
    command.arguments = {"--ledger", "--set", absl::StrCat("steps=", steps_)};
    for (const std::string& setting : settings)
      command.arguments.insert(command.arguments.end(), {"--set", setting});
    if (!faults.empty()) command.environment = {absl::StrCat("LOCKSTEP_FAULTS=", faults)};
    return command;
  }
  Traces Calm() const {
    return work_.TrainedTraces(config_, "calm", 1,
                               {absl::StrCat("steps=", steps_), "execution.optimizer_state=REPLICATED"});
  }
  // Runs it with nobody started again; returns what it said.
  std::string Survives(const Traces& calm, Command command) const {
    SCOPED_TRACE(command.environment.empty() ? command.out : command.environment[0]);
    if (command.launcher_arguments.empty()) command.launcher_arguments = {"--max-restarts", "0"};
    const Ended run = work_.Train(command);
    EXPECT_EQ(work_.ResultField(command.out, "status"), "\"done\"") << run.output;
    EXPECT_EQ(work_.TracesOf(command.out), calm) << run.output;
    EXPECT_TRUE(work_.RanksEnd(command.out, 10)) << "ranks outlive their run";
    return run.output;
  }
  Ended Ctl(const std::string& out, const std::string& request) const {
    std::vector<std::string> words = {ProgramPath(), "ctl", work_.Path(out)};
    for (const auto word : absl::StrSplit(request, ' ')) words.emplace_back(word);
    Subprocess process(words);
    const int code = process.Wait();
    return {code, process.Output()};
  }
  bool HasRanks(const std::string& out, const std::string& ranks) const {
    return WaitUntil([&] { return absl::StrContains(Ctl(out, "status").output, ranks + " as generation"); });
  }

  // Standing still, so that a run does not end under the test.
  bool Pauses(const std::string& out) const {
    return WaitUntil([&] { return Ctl(out, "pause").code == 0; });
  }
  // Resumes, and waits for that many more steps.
  bool GoesOn(const std::string& out, int steps) const {
    const auto lines = [&] {
      const std::string metrics = work_.Read(out + "/metrics.jsonl");
      return std::count(metrics.begin(), metrics.end(), '\n');
    };
    const auto before = lines();
    return Ctl(out, "resume").code == 0 && WaitUntil([&] { return lines() >= before + steps; });
  }

  const Workspace work_;
  const std::string config_;
  int steps_ = 40;
};

TEST_F(ShardedElastic, WithMirrorsADeathAnywhereLosesNothing) {
  const Traces calm = Calm();
  int number = 0;
  for (const char* point : {"step.begin", "step.before_vote", "step.after_vote", "step.update",
                            "step.mid_update", "shards.gather", "step.committed", "save.begin"}) {
    for (const char* rank : {"0", "2"}) {
      const std::string said = Survives(
          calm, CommandFor(absl::StrCat("place-", ++number), 3, absl::StrCat(point, ":", rank, ":14:kill")));
      EXPECT_THAT(said, HasSubstr("no step redone")) << point;
      EXPECT_THAT(said, Not(HasSubstr("so the run goes back"))) << point;
    }
  }
}

TEST_F(ShardedElastic, OneByOneAndWhileTheOthersRecover) {
  const Traces calm = Calm();
  int number = 0;
  for (const char* faults : {"step.begin:2:11:kill,step.mid_update:0:20:kill,shards.gather:1:31:kill",
                             "step.after_vote:1:9:kill,recovery.begin:3:*:kill",
                             "shards.gather:1:9:kill,recovery.transfer:3:*:kill",
                             "step.mid_update:0:9:kill,recovery.rebuild:2:*:kill"}) {
    (void)Survives(calm, CommandFor(absl::StrCat("several-", ++number), 4, faults));
  }
}

TEST_F(ShardedElastic, WithoutMirrorsADeathGoesBackToTheCheckpoint) {
  const Traces calm = Calm();
  int number = 0;
  for (const char* faults : {"step.begin:1:14:kill", "shards.gather:0:20:kill", "step.update:2:4:kill"}) {
    const std::string said = Survives(
        calm, CommandFor(absl::StrCat("bare-", ++number), 3, faults, {"execution.mirror_optimizer=false"}));
    EXPECT_THAT(said, HasSubstr("goes back to its newest checkpoint"));
  }
}

TEST_F(ShardedElastic, OwnerAndMirrorDieTogether) {
  const Traces calm = Calm();
  const std::string said = Survives(calm, CommandFor("both", 4, "step.begin:1:20:kill,step.begin:2:20:kill"));
  EXPECT_THAT(said, HasSubstr("goes back to its newest checkpoint"));
}

// A bit of a moment turns over; the mirror of that shard knows better.
TEST_F(ShardedElastic, AMomentThatChangedByItselfIsFoundAndHealed) {
  const Traces calm = Calm();
  const std::string said = Survives(
      calm, CommandFor("flipped", 3, "update.moments:1:16:flip=20", {"execution.integrity.every_steps=5"}));
  EXPECT_THAT(said, HasSubstr("is not the same in the two ranks that hold it"));
  EXPECT_THAT(said, HasSubstr("rank 1 had been wrong"));
}

TEST_F(ShardedElastic, RanksComeAndGo) {
  steps_ = 600;
  const Traces calm = Calm();
  for (const char* mirror : {"true", "false"}) {
    const std::string out = absl::StrCat("resized-", mirror);
    const auto run =
        work_.Start(CommandFor(out, 4, "", {absl::StrCat("execution.mirror_optimizer=", mirror)}));
    for (const char* change : {"shrink 2", "shrink 1", "grow 3"}) {
      ASSERT_TRUE(Pauses(out)) << run->Output();
      EXPECT_EQ(Ctl(out, change).code, 0) << change;
      const char* const ranks = change[7] == '1' ? "1 rank" : change[7] == '2' ? "2 ranks" : "3 ranks";
      EXPECT_TRUE(HasRanks(out, ranks)) << run->Output();
      EXPECT_TRUE(GoesOn(out, 3)) << run->Output();
    }
    EXPECT_EQ(run->Wait(), 0) << run->Output();
    EXPECT_THAT(run->Output(), Not(HasSubstr("so the run goes back")));
    EXPECT_EQ(work_.TracesOf(out), calm) << run->Output();
  }
}

TEST_F(ShardedElastic, TheDeadAreStartedAgainAndJoin) {
  steps_ = 600;
  const Traces calm = Calm();
  const auto run = work_.Start(CommandFor("join", 3));
  for (const size_t victim : {0, 2}) {
    ASSERT_TRUE(Pauses("join")) << run->Output();
    ASSERT_TRUE(HasRanks("join", "3 ranks")) << run->Output();
    const std::vector<pid_t> before = work_.Ranks("join");
    ASSERT_EQ(before.size(), 3);
    kill(before[victim], SIGKILL);
    ASSERT_TRUE(WaitUntil([&] {
      const std::vector<pid_t> now = work_.Ranks("join");
      return now.size() == 3 && std::find(now.begin(), now.end(), before[victim]) == now.end();
    }));
    EXPECT_TRUE(HasRanks("join", "3 ranks")) << run->Output();
    EXPECT_TRUE(GoesOn("join", 3)) << run->Output();
  }
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  EXPECT_THAT(run->Output(), Not(HasSubstr("so the run goes back")));
  EXPECT_EQ(work_.TracesOf("join"), calm) << run->Output();
}

}  // namespace
}  // namespace lockstep::testing
