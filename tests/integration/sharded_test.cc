// A sharded optimizer through the real program: the same bits as a replicated one, at every world size and over
// every transport; checkpoints that either of them writes and either reads; deaths with and without mirrors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kSharded[] = "execution.optimizer_state=SHARDED";

// Two tensors of many norm chunks, so that shards cut through them; 5 MB of parameters and optimizer state.
constexpr char kWideConfig[] = R"(
model { name: "mlp" mlp { hidden: [512, 512] dropout: 0.1 } }
data {
  train: "DATA/digits-train*.tfrecord" eval: "DATA/digits-test*.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 } }
optimizer { adamw { lr: 1e-3 } clip_norm: 0.5 }
ema { decay: 0.9 }
lanes: 8 global_batch: 32 steps: 12 seed: 1
eval { every_steps: 5 metric: "accuracy" max_records: 50 keep_best: false }
execution { threads: 1 checkpoint { every_steps: 3 keep_last: 9 } comm { bucket_kib: 64 } }
)";

Traces RunAs(const Workspace& work, const std::string& config, const std::string& out, int ranks,
             std::vector<std::string> settings) {
  settings.push_back(kSharded);
  std::vector<std::string> arguments = {"--ledger"};
  for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
  const Ended run = work.Train({.config = config, .out = out, .ranks = ranks, .arguments = arguments});
  EXPECT_EQ(run.code, 0) << out << "\n" << run.output;
  return work.TracesOf(out);
}

TEST(Sharded, GivesTheBitsOfReplicatedAtEveryWorldAndTransport) {
  const Workspace work;
  const std::string full = work.WriteConfig("full", kFullConfig),
                    wide = work.WriteConfig("wide", kWideConfig);
  const Traces alone = work.TrainedTraces(full, "alone", 1),
               wide_alone = work.TrainedTraces(wide, "wide-alone", 1);
  struct Execution {
    int ranks;
    std::vector<std::string> settings;
  };
  const std::vector<Execution> executions = {
      {1, {}},
      {2, {"execution.threads=2", "execution.comm.backend=shm"}},
      {3, {"execution.comm.backend=tcp"}},
      {4, {"execution.comm.bucket_kib=4096"}},
      {8, {"execution.comm.backend=shm", "execution.comm.bucket_kib=1"}}};
  int number = 0;
  for (const Execution& execution : executions) {
    const std::string out = absl::StrCat("run-", ++number);
    EXPECT_EQ(RunAs(work, full, out, execution.ranks, execution.settings), alone) << execution.ranks;
    EXPECT_EQ(RunAs(work, wide, "wide-" + out, execution.ranks, execution.settings), wide_alone)
        << execution.ranks;
  }
}

TEST(Sharded, SgdWithMomentumAndWithout) {
  const Workspace work;
  const std::string config = work.WriteConfig("small", kSmallConfig);
  for (const char* momentum : {"0.9", "0"}) {
    const std::string setting = absl::StrCat("optimizer.sgd.momentum=", momentum);
    const Traces alone = work.TrainedTraces(config, absl::StrCat("alone-", momentum), 1, {setting});
    EXPECT_EQ(RunAs(work, config, absl::StrCat("sharded-", momentum), 3, {setting}), alone) << momentum;
  }
}

TEST(Sharded, StepsThatTheGuardLeavesOut) {
  const Workspace work;
  const std::string config = work.WriteConfig("small", kSmallConfig);
  const std::vector<std::string> settings = {
      "numerics.grad_norm.action=SKIP", "numerics.grad_norm.threshold=0.5", "numerics.grad_norm.warmup=3"};
  const Traces alone = work.TrainedTraces(config, "alone", 1, settings);
  EXPECT_NE(work.ResultField("alone", "skipped_steps"), "0");
  EXPECT_EQ(RunAs(work, config, "sharded", 3, settings), alone);
}

// Each part of the run with another world, mode, and number of files.
TEST(Sharded, CheckpointsAreReadAtAnyWorldByEitherMode) {
  const Workspace work;
  const std::string config = work.WriteConfig("wide", kWideConfig);
  const Traces calm = work.TrainedTraces(config, "calm", 1);
  struct Part {
    int ranks, until, shard_mib;
    const char* state;
  };
  for (const Part& part : std::vector<Part>{{3, 4, 1, "SHARDED"},
                                            {2, 5, 256, "SHARDED"},
                                            {1, 7, 256, "REPLICATED"},
                                            {4, 8, 1, "SHARDED"},
                                            {2, 10, 1, "REPLICATED"},
                                            {1, 11, 256, "SHARDED"},
                                            {3, 12, 1, "SHARDED"}}) {
    const Ended run =
        work.Train({.config = config,
                    .out = "moved",
                    .ranks = part.ranks,
                    .arguments = {"--ledger", "--steps", absl::StrCat(part.until), "--set",
                                  absl::StrCat("execution.checkpoint.shard_mib=", part.shard_mib), "--set",
                                  absl::StrCat("execution.optimizer_state=", part.state)}});
    ASSERT_EQ(run.code, 0) << run.output;
    if (part.shard_mib > 1 || part.ranks == 1) continue;
    EXPECT_THAT(run.output, HasSubstr("ranks write checkpoints"));
  }
  EXPECT_EQ(work.TracesOf("moved"), calm);
  EXPECT_TRUE(fs::exists(work.Path("moved/checkpoints/step-00000012/optimizer-00003-of-00003.safetensors")));
  Subprocess verify({ProgramPath(), "checkpoint", "verify", work.Path("moved")});
  EXPECT_EQ(verify.Wait(), 0) << verify.Output();
}

TEST(Sharded, RefusesWhatItCannotDo) {
  const Workspace work;
  const std::string config = work.WriteConfig("small", kSmallConfig);
  for (const char* setting : {"reduction=UNORDERED", "execution.integrity.check_reductions=true"}) {
    const Ended run = work.Train(
        {.config = config, .out = "refused", .ranks = 2, .arguments = {"--set", kSharded, "--set", setting}});
    EXPECT_EQ(run.code, 2) << run.output;
    EXPECT_THAT(run.output, HasSubstr("execution.optimizer_state")) << setting;
    EXPECT_FALSE(fs::exists(work.Path("refused/metrics.jsonl")));
  }
}

}  // namespace
}  // namespace lockstep::testing
