// What has to be right on disk and in memory while ranks die: checkpoints that several write, the best of them,
// and going back after memory has changed by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/elastic_run.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
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

class ElasticSaving : public ElasticRun {};

// A bit flips in one rank's memory, and ranks die while all go back for that, and while the steps are done
// again.
TEST_F(ElasticSaving, DeathsWhileTheRunIsHealed) {
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
TEST_F(ElasticSaving, WhatIsInVainIsGivenUp) {
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
TEST_F(ElasticSaving, DeathsOfWhoWritesCheckpointsTogether) {
  steps_ = 30;
  config_ = work_.WriteConfig("wide", kWideConfig);
  const Traces calm = Calm();
  int number = 0;
  for (const char* death :
       {"save.begin:1:14:kill", "save.begin:0:14:kill", "save.commit:0:*:kill", "step.begin:2:15:kill",
        "step.begin:0:22:kill", "save.create:2:30:kill", "save.sync:1:30:kill:2"}) {  // 30: the last step
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
TEST_F(ElasticSaving, TheBestCheckpointOutlivesItsWriter) {
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
    // Of a team the dead rank may have done its part before; then the save is whole without any copy.
    if (c.name != "team") {
      EXPECT_THAT(run.output, HasSubstr("the checkpoint of step 18, the best one, which was being written"));
    }
    EXPECT_EQ(work_.Read(c.name + "/checkpoints/best"), work_.Read(calm + "/checkpoints/best"));
    Subprocess diff({ProgramPath(), "checkpoint", "diff", work_.Path(c.name + "/checkpoints/step-00000018"),
                     work_.Path(calm + "/checkpoints/step-00000018")});
    (void)diff.Wait();
    EXPECT_THAT(diff.Output(), HasSubstr("the same state"));
    const Ended verified = Verify(c.name);
    EXPECT_EQ(verified.code, 0) << verified.output;
  }
}

// The checkpoint is there, and its writer is killed before it is marked as the best one.
TEST_F(ElasticSaving, TheBestIsMarkedByTheNextStart) {
  save_every_ = 0;
  // Two files of tensors, the manifest, and then the mark.
  const Ended killed = work_.Train(CommandFor("mark", 1, StartWith::kNothing, "save.create:0:*:kill:4"));
  EXPECT_EQ(killed.code, 128 + 9) << killed.output;
  EXPECT_TRUE(fs::exists(work_.Path("mark/checkpoints/step-00000009/manifest.textproto")));
  EXPECT_EQ(work_.Read("mark/checkpoints/best"), "");
  Command next = CommandFor("mark", 1, StartWith::kNothing);
  next.arguments.insert(next.arguments.end(), {"--steps", "9"});
  const Ended run = work_.Train(next);
  EXPECT_EQ(run.code, 0) << run.output;
  EXPECT_EQ(work_.Read("mark/checkpoints/best"), "step-00000009\n");
}

}  // namespace
}  // namespace lockstep::testing
