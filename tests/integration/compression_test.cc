// Gradient compression through the real program: what it may change, and what it must not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Compression : public ::testing::Test {
 protected:
  Ended Run(const std::string& config, const std::string& out, int ranks,
            const std::vector<std::string>& settings,
            std::vector<std::string> arguments = {"--ledger"}) const {
    for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
    return work_.Train({.config = config,
                        .out = out,
                        .ranks = ranks,
                        .arguments = arguments,
                        .start = ranks == 1 ? StartWith::kNothing : StartWith::kMpirun});
  }
  Traces TracesOfRun(const std::string& config, const std::string& out, int ranks,
                     const std::vector<std::string>& settings) const {
    const Ended run = Run(config, out, ranks, settings);
    EXPECT_EQ(run.code, 0) << out << "\n" << run.output;
    return work_.TracesOf(out);
  }

  const Workspace work_;
};

// The promise of REPRODUCIBLE holds with 16 bits on the wire.
TEST_F(Compression, SixteenBitWiresGiveTheSameBitsAtEveryWorld) {
  const std::string config = work_.WriteConfig("full", kFullConfig);
  const Traces full = TracesOfRun(config, "full", 1, {});
  for (const std::string wire : {"BF16", "FP16"}) {
    const std::string setting = "compression.wire=" + wire;
    const Traces alone = TracesOfRun(config, wire + "-alone", 1, {setting});
    EXPECT_NE(alone.weights_sha256, full.weights_sha256) << "rounding must show";
    struct Execution {
      int ranks;
      std::vector<std::string> settings;
    };
    const std::vector<Execution> executions = {
        {1, {"execution.threads=2"}},
        {2, {"execution.comm.backend=shm", "execution.threads=2"}},
        {2, {"execution.comm.backend=tcp"}},
        {3, {"execution.comm.backend=shm"}},
        {3, {"execution.comm.backend=tcp", "execution.threads=2"}},
        {4, {"execution.comm.backend=shm", "execution.comm.bucket_kib=1", "execution.threads=2"}},
        {4, {"execution.comm.backend=tcp", "execution.comm.bucket_kib=4096"}},
        {8, {"execution.comm.backend=shm"}},
        {8, {"execution.comm.backend=tcp"}},
    };
    for (size_t i = 0; i < executions.size(); ++i) {
      std::vector<std::string> settings = executions[i].settings;
      settings.push_back(setting);
      EXPECT_EQ(TracesOfRun(config, absl::StrCat(wire, "-", i), executions[i].ranks, settings), alone)
          << wire << ", execution " << i;
    }
  }
}

// A wire of FP32 is no compression, so it is the same recipe.
TEST_F(Compression, AFullWireIsNoCompression) {
  const std::string config = work_.WriteConfig("small", kSmallConfig);
  const Traces none = TracesOfRun(config, "none", 2, {});
  EXPECT_EQ(TracesOfRun(config, "full", 2, {"compression.wire=FP32"}), none);
}

// What is unsent is part of the checkpoint: stopping and going on with as many ranks changes no bit.
TEST_F(Compression, ErrorFeedbackResumesBitForBit) {
  const std::string config = work_.WriteConfig("full", kFullConfig);
  for (const std::string method :
       {"compression={power_sgd {rank: 2}}", "compression={top_k {ratio: 0.05}}"}) {
    const std::string name = method[13] == 'p' ? "power" : "top";
    for (int ranks : {1, 3}) {
      const std::vector<std::string> settings = {"reduction=UNORDERED", method};
      const std::string out = absl::StrCat(name, "-", ranks);
      const Traces calm = TracesOfRun(config, out + "-calm", ranks, settings);
      EXPECT_EQ(TracesOfRun(config, out + "-again", ranks, settings), calm);
      for (const char* steps : {"1", "11", "24"}) {
        const Ended stopped = Run(config, out, ranks, settings, {"--ledger", "--steps", steps});
        ASSERT_EQ(stopped.code, 0) << stopped.output;
      }
      const Ended last = Run(config, out, ranks, settings);
      EXPECT_EQ(last.code, 0) << last.output;
      EXPECT_THAT(last.output, Not(HasSubstr("error memor")));
      EXPECT_EQ(work_.TracesOf(out), calm) << out;
    }
    // With another number of ranks it goes on too, and says what that means.
    const std::vector<std::string> settings = {"reduction=UNORDERED", method};
    const std::string out = name + "-moved";
    ASSERT_EQ(Run(config, out, 3, settings, {"--ledger", "--steps", "11"}).code, 0);
    const Ended moved = Run(config, out, 2, settings);
    EXPECT_EQ(moved.code, 0) << moved.output;
    EXPECT_THAT(moved.output, AllOf(HasSubstr("resuming after step 11"),
                                    HasSubstr("error memories of 3 ranks, this run has 2")));
    EXPECT_EQ(work_.ResultField(out, "steps"), "25");
  }
}

// The effect on what people want: the example's accuracy.
TEST_F(Compression, DigitsAreLearnedWithEveryMethod) {
  const std::string config = work_.WriteConfig("digits", R"(
model { name: "mlp" mlp { hidden: [128, 64] } }
data {
  train: "DATA/digits-train*.tfrecord" eval: "DATA/digits-test*.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 } }
optimizer { adamw { lr: 2e-3 no_decay: "*.bias" } }
schedule { cosine { warmup_steps: 50 } }
lanes: 8 global_batch: 64 epochs: 30 seed: 1
eval { every_epochs: 5 metric: "accuracy" }
execution { threads: 1 events: false }
)");
  const auto accuracy = [&](const std::string& out) {
    const std::string eval = work_.ResultField(out, "eval");
    const size_t at = eval.find("\"accuracy\":");
    return at == eval.npos ? 0.0 : std::stod(eval.substr(at + 11));
  };
  ASSERT_EQ(Run(config, "none", 2, {}).code, 0);
  const double none = accuracy("none");
  EXPECT_GT(none, 0.95);
  int number = 0;
  for (const std::string method :
       {"wire: BF16", "wire: FP16", "power_sgd { rank: 4 }", "top_k { ratio: 0.05 }"}) {
    std::vector<std::string> settings = {absl::StrCat("compression={", method, "}")};
    if (method[0] != 'w') settings.push_back("reduction=UNORDERED");
    const std::string out = absl::StrCat("method-", ++number);
    const Ended run = Run(config, out, 2, settings);
    ASSERT_EQ(run.code, 0) << run.output;
    EXPECT_THAT(run.output, HasSubstr("gradients travel"));
    EXPECT_NE(work_.ResultField(out, "weights_sha256"), work_.ResultField("none", "weights_sha256"))
        << method;
    EXPECT_GT(accuracy(out), none - 0.02) << method;
  }
}

TEST_F(Compression, WhatCannotWorkIsRefusedWithTheReason) {
  const std::string config = work_.WriteConfig("small", kSmallConfig);
  for (const std::string method : {"power_sgd", "top_k"}) {
    const Ended ordered = Run(config, method, 1, {absl::StrCat("compression={", method, " {}}")});
    EXPECT_EQ(ordered.code, 2) << ordered.output;
    EXPECT_THAT(ordered.output, AllOf(HasSubstr("compression." + method), HasSubstr("reduction: UNORDERED"),
                                      HasSubstr("number of ranks"), HasSubstr("wire: BF16")));
  }
  const Ended rank = Run(config, "rank", 1, {"compression={power_sgd {rank: 0}}", "reduction=UNORDERED"});
  EXPECT_EQ(rank.code, 2) << rank.output;
  EXPECT_THAT(rank.output, HasSubstr("compression.power_sgd.rank"));
  const Ended two = Run(config, "two", 1, {"compression={wire: BF16 top_k {}}", "reduction=UNORDERED"});
  EXPECT_EQ(two.code, 2) << two.output;
  EXPECT_THAT(two.output, AllOf(HasSubstr("wire"), HasSubstr("top_k")));
}

// The range of FP16 ends at 65504; the error says so, and what has a larger one.
TEST_F(Compression, AnOverflowOfFp16IsNamed) {
  const std::string config = work_.WriteConfig("small", kSmallConfig);
  const std::vector<std::string> huge = {"data.input.scale=3e4", "optimizer.sgd.lr=1e-12"};
  const auto with = [&](const std::string& wire) {
    std::vector<std::string> settings = huge;
    settings.push_back("compression.wire=" + wire);
    return settings;
  };
  EXPECT_EQ(Run(config, "bf16", 2, with("BF16")).code, 0);
  const Ended run = Run(config, "fp16", 2, with("FP16"));
  EXPECT_NE(run.code, 0) << run.output;
  EXPECT_EQ(work_.ResultField("fp16", "exit_code"), "6");
  EXPECT_THAT(run.output, AllOf(HasSubstr("65504"), HasSubstr("BF16")));
}

}  // namespace
}  // namespace lockstep::testing
