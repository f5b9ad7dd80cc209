// Runs over several machines, which are network namespaces here: ranks die, a machine loses its network, and
// the others go on to the calm run's bits. Over tcp alone and over hier, with checkpoints of several writers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/integration/training_run.h"
#include "tests/testing/network_rig.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

// Three shards of a MiB.
constexpr char kWideConfig[] = R"(
model { name: "mlp" mlp { hidden: [512, 512] } }
data {
  train: "DATA/digits-train*.tfrecord" eval: "DATA/digits-test*.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 } }
optimizer { adamw { lr: 1e-3 } }
lanes: 8 global_batch: 32 steps: 40 seed: 1
eval { every_steps: 9 metric: "loss" max_records: 50 }
execution { threads: 1 recovery: ON
  comm { deadline_seconds: 3 connect_seconds: 20 }
  checkpoint { every_steps: 4 keep_last: 2 shard_mib: 1 } }
)";

class MachinesTraining : public ::testing::Test {
 protected:
  MachinesTraining() : config_(work_.WriteConfig("wide", kWideConfig)) {}
  void SetUp() override {
    auto rig = NetworkRig::Make(3);
    if (!rig.ok()) GTEST_SKIP() << "no machines to test with: " << rig.status().message();
    rig_ = *std::move(rig);
  }

  // One process a rank, as if started by hand: rank i on machine machines[i].
  std::vector<std::unique_ptr<Subprocess>> Start(const std::string& out, const std::vector<int>& machines,
                                                 const std::string& backend,
                                                 const std::string& faults = "") const {
    std::vector<std::unique_ptr<Subprocess>> ranks;
    for (size_t rank = 0; rank < machines.size(); ++rank) {
      ranks.push_back(std::make_unique<Subprocess>(std::vector<std::string>{
          "/usr/bin/env", "nsenter", "-t", absl::StrCat(rig_->holder(machines[rank])), "-n", "env",
          absl::StrCat("LOCKSTEP_RANK=", rank), absl::StrCat("LOCKSTEP_SIZE=", machines.size()),
          absl::StrCat("LOCKSTEP_JOB=", out), absl::StrCat("LOCKSTEP_FAULTS=", faults), ProgramPath(),
          "train", config_, "--out", work_.Path(out), "--ledger", "--set",
          absl::StrCat("execution.comm.backend=", backend)}));
    }
    return ranks;
  }
  static std::string EndOf(const std::vector<std::unique_ptr<Subprocess>>& ranks, std::vector<int>* codes) {
    std::string output;
    for (const auto& rank : ranks) {
      codes->push_back(rank->Wait());
      absl::StrAppend(&output, "---- exit code ", codes->back(), "\n", rank->Output());
    }
    return output;
  }
  Traces Calm() const {
    const Ended run = work_.Train(
        {.config = config_, .out = "calm", .arguments = {"--ledger"}, .start = StartWith::kNothing});
    EXPECT_EQ(run.code, 0) << run.output;
    return work_.TracesOf("calm");
  }
  void ExpectCalm(const Traces& calm, const std::string& out, const std::string& output) const {
    EXPECT_EQ(work_.ResultField(out, "status"), "\"done\"") << output;
    EXPECT_EQ(work_.TracesOf(out), calm) << output;
    EXPECT_THAT(output, HasSubstr("ranks write checkpoints"));
    Subprocess verify({ProgramPath(), "checkpoint", "verify", work_.Path(out)});
    EXPECT_EQ(verify.Wait(), 0) << verify.Output();
  }

  const Workspace work_;
  const std::string config_;
  std::unique_ptr<NetworkRig> rig_;
};

TEST_F(MachinesTraining, DeathsOfRanksOverTcpAndHier) {
  const Traces calm = Calm();
  const std::vector<std::vector<std::string>> cases = {
      {"tcp", "comm.exchange:1:7:kill:3"},
      {"tcp", "step.after_vote:0:9:kill,save.begin:2:16:kill"},
      {"hier", "comm.phase:3:11:kill"},
      {"hier", "step.begin:0:6:kill,recovery.connected:2:*:kill"},
      {"hier", "save.commit:0:*:kill:2"}};
  int number = 0;
  for (const std::vector<std::string>& one : cases) {
    SCOPED_TRACE(absl::StrJoin(one, " "));
    const std::string out = absl::StrCat("death-", ++number);
    std::vector<int> codes;
    const std::string output = EndOf(Start(out, {0, 0, 1, 1}, one[0], one[1]), &codes);
    ExpectCalm(calm, out, output);
    for (const int code : codes) EXPECT_THAT(code, ::testing::AnyOf(0, 137)) << output;
  }
}

// The rank on it sees the folder, but nobody else; two that see each other go on without it.
TEST_F(MachinesTraining, AMachineThatLosesItsNetworkIsLeftBehind) {
  const Traces calm = Calm();
  for (const char* backend : {"tcp", "hier"}) {
    SCOPED_TRACE(backend);
    const std::string out = absl::StrCat("cut-", backend);
    // Rank 0 is the one that is cut off.
    auto ranks = Start(out, {2, 0, 0, 1}, backend, "step.begin:1:12:delay=1000");
    ASSERT_TRUE(ranks[1]->WaitForOutput("injected fault now", 1)) << ranks[1]->Output();
    ASSERT_TRUE(rig_->Cut(2).ok());
    std::vector<int> codes;
    const std::string output = EndOf(ranks, &codes);
    ExpectCalm(calm, out, output);
    EXPECT_THAT(codes, ::testing::ElementsAre(4, 0, 0, 0)) << output;
    rig_.reset();
    SetUp();
  }
}

}  // namespace
}  // namespace lockstep::testing
