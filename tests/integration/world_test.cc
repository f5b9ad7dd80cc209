// The promise, through the real program: who runs a recipe, and how, changes not one bit of what comes out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

struct Execution {
  std::string name;
  int ranks;
  std::vector<std::string> settings;
  StartWith start = StartWith::kMpirun;
};

Traces RunAs(const Workspace& work, const std::string& config, const Execution& execution) {
  std::vector<std::string> arguments = {"--ledger"};
  for (const std::string& setting : execution.settings) {
    arguments.insert(arguments.end(), {"--set", setting});
  }
  const Ended run = work.Train({.config = config,
                                .out = execution.name,
                                .ranks = execution.ranks,
                                .arguments = arguments,
                                .start = execution.start});
  EXPECT_EQ(run.code, 0) << execution.name << "\n" << run.output;
  EXPECT_EQ(work.ResultField(execution.name, "status"), "\"done\"") << execution.name;
  return work.TracesOf(execution.name);
}

void ExpectPlausible(const Traces& traces, size_t lines) {
  EXPECT_EQ(traces.weights_sha256.size(), 66);  // with its quotes
  EXPECT_EQ(traces.state_sha256.size(), 66);
  EXPECT_EQ(traces.metrics.size(), lines);
  EXPECT_THAT(traces.ledger, ::testing::StartsWith("{\"step\": 1, \"ids\": ["));
}

TEST(World, SizeThreadsTransportLauncherAndTuningChangeNothing) {
  const Workspace work;
  const std::string config = work.WriteConfig("full", kFullConfig);
  const Traces alone = RunAs(work, config, {"alone", 1, {}, StartWith::kNothing});
  ExpectPlausible(alone, 25 + 4);
  const std::vector<Execution> executions = {
      {"one-rank", 1, {"execution.threads=2"}},
      {"two-shm", 2, {"execution.comm.backend=shm"}},
      {"two-tcp-two-threads", 2, {"execution.comm.backend=tcp", "execution.threads=2"}},
      {"three-shm-two-threads", 3, {"execution.comm.backend=shm", "execution.threads=2"}},
      {"three-tcp", 3, {"execution.comm.backend=tcp"}},
      {"four-small-buckets", 4, {"execution.comm.bucket_kib=1", "execution.read_ahead_steps=1"}},
      {"five-one-bucket", 5, {"execution.comm.bucket_kib=4096", "execution.threads=2"}},
      {"seven-read-ahead", 7, {"execution.read_ahead_steps=9"}},
      {"two-reading", 2, {"execution.read.mode=READ", "execution.read.ahead_mib=1"}},
      {"eight-tcp", 8, {"execution.comm.backend=tcp"}},
      {"launched-three", 3, {}, StartWith::kLaunch},
      {"launched-four-tcp", 4, {"execution.comm.backend=tcp"}, StartWith::kLaunch},
      {"checkpoints-and-no-events",
       2,
       {"execution.checkpoint.every_steps=3", "execution.checkpoint.keep_last=1", "execution.events=false"}},
  };
  for (const Execution& execution : executions) {
    EXPECT_EQ(RunAs(work, config, execution), alone) << execution.name;
  }
}

TEST(World, MpiChangesNothing) {
  if (LOCKSTEP_HAS_MPI == 0) GTEST_SKIP() << "built without an MPI library";
  const Workspace work;
  const std::string config = work.WriteConfig("small", kSmallConfig);
  const Traces alone = RunAs(work, config, {"alone", 1, {}, StartWith::kNothing});
  for (int ranks : {2, 3}) {
    const std::string name = "mpi-" + std::to_string(ranks);
    EXPECT_EQ(RunAs(work, config, {name, ranks, {"execution.comm.backend=mpi"}}), alone) << name;
  }
}

TEST(World, LanesThatAreNoPowerOfTwo) {
  const Workspace work;
  const std::string config = work.WriteConfig("small", kSmallConfig);
  const std::vector<std::string> six = {"lanes=6", "global_batch=66", "steps=12"};
  const Traces alone = RunAs(work, config, {"alone", 1, six, StartWith::kNothing});
  ExpectPlausible(alone, 12 + 2);
  for (int ranks : {2, 4, 6}) {
    EXPECT_EQ(RunAs(work, config, {"lanes-6-" + std::to_string(ranks), ranks, six}), alone) << ranks;
  }
}

// What would a comparison be worth that cannot fail?
TEST(World, SeedAndLanesOfTheRecipeDoChangeTheResult) {
  const Workspace work;
  const std::string config = work.WriteConfig("small", kSmallConfig);
  const Traces base = RunAs(work, config, {"base", 2, {}});
  const Traces seed = RunAs(work, config, {"seed", 2, {"seed=2"}});
  EXPECT_NE(seed.weights_sha256, base.weights_sha256);
  EXPECT_NE(seed.state_sha256, base.state_sha256);
  EXPECT_NE(seed.ledger, base.ledger);
  EXPECT_NE(seed.metrics, base.metrics);
  const Traces lanes = RunAs(work, config, {"lanes", 2, {"lanes=4"}});
  EXPECT_NE(lanes.weights_sha256, base.weights_sha256);
  EXPECT_EQ(lanes.ledger, base.ledger) << "which samples a step takes does not depend on lanes";
}

TEST(World, UnorderedGivesTheSameBitsForOneWorldSize) {
  const Workspace work;
  const std::string config = work.WriteConfig("full", kFullConfig);
  for (int ranks : {1, 3}) {
    const std::vector<std::string> settings = {"reduction=UNORDERED", "execution.threads=2", "steps=10"};
    const std::string name = "unordered-" + std::to_string(ranks);
    const Traces first = RunAs(work, config, {name + "-a", ranks, settings});
    ExpectPlausible(first, 10 + 2);
    EXPECT_EQ(RunAs(work, config, {name + "-b", ranks, settings}), first) << ranks;
  }
}

}  // namespace
}  // namespace lockstep::testing
