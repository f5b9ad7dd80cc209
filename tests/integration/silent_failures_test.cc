// Failures that no error announces, through the real program: memory that changes by itself, numbers that go
// wrong, and work that kills whoever takes it on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The environment of runs that are started while it lives.
class Faults {
 public:
  explicit Faults(const std::string& text) { setenv("LOCKSTEP_FAULTS", text.c_str(), 1); }
  ~Faults() { unsetenv("LOCKSTEP_FAULTS"); }
};

std::vector<std::string> Settings(const std::vector<std::string>& settings) {
  std::vector<std::string> arguments = {"--ledger"};
  for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
  return arguments;
}

class Guard : public ::testing::Test {
 protected:
  Traces Calm(const std::string& text, const std::vector<std::string>& settings = {}) {
    config_ = work_.WriteConfig("config", text);
    const Ended run = work_.Train({.config = config_,
                                   .out = "calm",
                                   .ranks = 1,
                                   .arguments = Settings(settings),
                                   .start = StartWith::kNothing});
    EXPECT_EQ(run.code, 0) << run.output;
    return work_.TracesOf("calm");
  }

  Workspace work_;
  std::string config_;
};

TEST_F(Guard, AFlippedBitIsFoundHealedAndLaidAtItsRanksDoor) {
  const Traces calm = Calm(kFullConfig);
  struct Case {
    std::string name, fault;
    int ranks;
    std::vector<std::string> settings;
  };
  const std::vector<Case> cases = {
      // Before the first checkpoint: back to the start.
      {"two", "update.parameters:1:8:flip=20010", 2, {"execution.integrity.every_steps=5"}},
      {"two-saving",
       "update.parameters:0:13:flip=3",
       2,
       {"execution.integrity.every_steps=4", "execution.checkpoint.every_steps=6"}},
      {"three",
       "update.parameters:2:16:flip=20030",
       3,
       {"execution.integrity.every_steps=3", "execution.checkpoint.every_steps=7"}},
      // The last step's comparison is that of its checkpoint.
      {"last", "update.parameters:1:25:flip=900", 2, {"execution.integrity.every_steps=1000"}},
  };
  for (const Case& c : cases) {
    const Faults faults(c.fault);
    const Ended run =
        work_.Train({.config = config_, .out = c.name, .ranks = c.ranks, .arguments = Settings(c.settings)});
    EXPECT_EQ(run.code, 0) << c.name << "\n" << run.output;
    EXPECT_EQ(work_.TracesOf(c.name), calm) << c.name;
    const std::string events = work_.Read(c.name + "/integrity.jsonl");
    EXPECT_THAT(events, HasSubstr("\"event\": \"diverged\"")) << c.name << "\n" << run.output;
    const std::string rank = c.fault.substr(18, 1);
    EXPECT_THAT(events, HasSubstr("\"event\": \"healed\", \"culprits\": [" + rank + "]")) << c.name;
  }
}

TEST_F(Guard, ASumThatDiffersBetweenRanksIsNeverApplied) {
  const Traces calm = Calm(kSmallConfig);
  const Faults faults("reduce.result:1:9:flip=40000");
  const Ended run = work_.Train({.config = config_,
                                 .out = "sum",
                                 .ranks = 3,
                                 .arguments = Settings({"execution.integrity.check_reductions=true"})});
  EXPECT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(work_.Read("sum/integrity.jsonl"),
              HasSubstr(R"({"step": 9, "event": "reduction", "outside_majority": [1]})"));
  EXPECT_EQ(work_.TracesOf("sum"), calm);
}

TEST_F(Guard, SpikesAreSkippedAlikeAtEveryWorldSizeAndAfterAResume) {
  const std::vector<std::string> guards = {"numerics.grad_norm.threshold=2", "numerics.grad_norm.warmup=4",
                                           "numerics.loss.action=WARN"};
  const Traces calm = Calm(kSmallConfig, guards);
  const std::string metrics = work_.Read("calm/metrics.jsonl");
  EXPECT_THAT(metrics, HasSubstr("\"skipped\": \"grad_norm_z\""))
      << "the thresholds are low enough to see some";
  EXPECT_NE(work_.ResultField("calm", "skipped_steps"), "0");
  for (const int ranks : {2, 5}) {
    const std::string out = "ranks-" + std::to_string(ranks);
    EXPECT_EQ(
        work_.Train({.config = config_, .out = out, .ranks = ranks, .arguments = Settings(guards)}).code, 0);
    EXPECT_EQ(work_.TracesOf(out), calm) << ranks;
  }
  std::vector<std::string> part = Settings(guards);
  part.insert(part.end(), {"--steps", "17"});
  EXPECT_EQ(work_.Train({.config = config_, .out = "parts", .ranks = 2, .arguments = part}).code, 0);
  EXPECT_EQ(work_.Train({.config = config_, .out = "parts", .ranks = 3, .arguments = Settings(guards)}).code,
            0);
  EXPECT_EQ(work_.TracesOf("parts"), calm);
}

TEST_F(Guard, SkipsInARowEndTheRun) {
  config_ = work_.WriteConfig("config", kSmallConfig);
  const Ended run = work_.Train({.config = config_,
                                 .out = "wild",
                                 .ranks = 2,
                                 .arguments = Settings({"optimizer.sgd.lr=1e30", "numerics.on_nonfinite=SKIP",
                                                        "numerics.max_skips_in_a_row=5"}),
                                 .start = StartWith::kLaunch});
  EXPECT_EQ(run.code, 6) << run.output;
  EXPECT_EQ(work_.ResultField("wild", "exit_code"), "6");
  EXPECT_EQ(work_.ResultField("wild", "skipped_steps"), "5");
  EXPECT_THAT(work_.ResultField("wild", "message"), HasSubstr("not finite in lanes "));
}

TEST_F(Guard, WorkThatKillsItsRankTwiceEndsTheRunAndNamesItsRecords) {
  const Traces calm = Calm(kSmallConfig);
  const Command command = {
      .config = config_, .out = "poison", .ranks = 3, .arguments = Settings({}), .start = StartWith::kLaunch};
  for (int death = 1; death <= 2; ++death) {
    const Faults faults("lane.5:*:11:kill");
    const Ended run = work_.Train(command);
    EXPECT_NE(run.code, 0) << death;
    EXPECT_TRUE(work_.RanksEnd("poison", 10));
    const std::string deaths =
        work_.Read("poison/attempts.jsonl");  // as the start before this one found them
    EXPECT_EQ(deaths.empty(), death == 1);
    EXPECT_TRUE(death == 1 || absl::StrContains(deaths, "\"lane\": 5")) << deaths;
  }
  // What kills is still there, and is not met again.
  const Faults faults("lane.5:*:11:kill");
  const Ended stopped = work_.Train(command);
  EXPECT_EQ(stopped.code, 3) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("step 11, lane 5"));
  EXPECT_THAT(stopped.output, HasSubstr("digits-train"));
  EXPECT_THAT(stopped.output, HasSubstr(", record "));

  // Once more without it: the same bits as ever.
  unsetenv("LOCKSTEP_FAULTS");
  const Ended rest = work_.Train(command);
  EXPECT_EQ(rest.code, 0) << rest.output;
  EXPECT_EQ(work_.TracesOf("poison"), calm);
}

TEST_F(Guard, FaultsThatCannotBeReadAreRefused) {
  config_ = work_.WriteConfig("config", kSmallConfig);
  const Faults faults("lane.5:x:11:kill");
  const Ended run = work_.Train({.config = config_, .out = "odd", .start = StartWith::kNothing});
  EXPECT_EQ(run.code, 2) << run.output;
  EXPECT_THAT(run.output, HasSubstr("LOCKSTEP_FAULTS"));
}

}  // namespace
}  // namespace lockstep::testing
