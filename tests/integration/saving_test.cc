// Checkpoints of whole runs: written by one rank or by several, read by any number, damaged, in the way, and
// on a disk that is full. Whatever happens to them, the run ends as the calm one.
#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

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
execution { threads: 1 checkpoint { every_steps: 3 keep_last: 9 shard_mib: 1 } }
)";

class Checkpoints : public ::testing::Test {
 protected:
  Checkpoints() : config_(work_.WriteConfig("wide", kWideConfig)) {}

  Ended Train(const std::string& out, int ranks, std::vector<std::string> arguments = {}) const {
    arguments.push_back("--ledger");
    return work_.Train({.config = config_,
                        .out = out,
                        .ranks = ranks,
                        .arguments = std::move(arguments),
                        .start = ranks == 1 ? StartWith::kNothing : StartWith::kLaunch});
  }
  Traces Calm() const {
    const Ended run = Train("calm", 1);
    EXPECT_EQ(run.code, 0) << run.output;
    return work_.TracesOf("calm");
  }
  std::string Path(const std::string& out, int step, const std::string& name = "") const {
    return work_.Path(absl::StrCat(out, "/checkpoints/step-0000000", step, "/", name));
  }
  Ended Checkpoint(const std::vector<std::string>& words) const {
    std::vector<std::string> command = {ProgramPath(), "checkpoint"};
    command.insert(command.end(), words.begin(), words.end());
    Subprocess process(command);
    const int code = process.Wait();
    return {code, process.Output()};
  }

  const Workspace work_;
  const std::string config_;
};

TEST_F(Checkpoints, WrittenByThreeRanksAndReadByAnyNumber) {
  const Traces calm = Calm();
  ASSERT_TRUE(fs::exists(Path("calm", 3, "model.safetensors"))) << "one rank writes one file";
  Ended run = Train("moved", 3, {"--steps", "5"});
  ASSERT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("3 ranks write checkpoints"));
  EXPECT_TRUE(fs::exists(Path("moved", 3, "model.safetensors.index.json")));
  EXPECT_TRUE(fs::exists(Path("moved", 3, "optimizer-00003-of-00003.safetensors")));
  EXPECT_FALSE(fs::exists(work_.Path("moved/.shared")));
  for (const auto& [ranks, until] : std::vector<std::pair<int, const char*>>{{2, "7"}, {1, "8"}, {4, "12"}}) {
    run = Train("moved", ranks, {"--steps", until});
    ASSERT_EQ(run.code, 0) << run.output;
  }
  EXPECT_EQ(work_.TracesOf("moved"), calm) << run.output;
  const Ended verified = Checkpoint({"verify", work_.Path("moved")});
  EXPECT_EQ(verified.code, 0) << verified.output;
  const Ended diff = Checkpoint({"diff", Path("calm", 3), Path("moved", 3)});
  EXPECT_THAT(diff.output, HasSubstr("the same state"));
}

TEST_F(Checkpoints, AShardOfAnotherStepIsPassedOverWithTheReason) {
  const Traces calm = Calm();
  Ended run = Train("mixed", 3, {"--steps", "9"});
  ASSERT_EQ(run.code, 0) << run.output;
  const std::string shard = "optimizer-00002-of-00003.safetensors";
  fs::copy_file(Path("mixed", 6, shard), Path("mixed", 9, shard), fs::copy_options::overwrite_existing);
  const Ended verified = Checkpoint({"verify", work_.Path("mixed")});
  EXPECT_EQ(verified.code, 5);
  EXPECT_THAT(verified.output, HasSubstr(shard + " is of step 6, the manifest of step 9"));
  run = Train("mixed", 2);
  EXPECT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr(shard + " is of step 6, the manifest of step 9"));
  EXPECT_THAT(run.output, HasSubstr("resuming after step 6"));
  EXPECT_EQ(work_.TracesOf("mixed"), calm);
}

// Saves by all ranks after each step; one of them is killed, three times.
TEST_F(Checkpoints, ARankKilledWhileAllWrite) {
  const Traces calm = Calm();
  for (int round = 0; round < 3; ++round) {
    const auto run = work_.Start({.config = config_,
                                  .out = "killed",
                                  .ranks = 3,
                                  .arguments = {"--ledger", "--set", "execution.checkpoint.every_steps=1"},
                                  .start = StartWith::kLaunch});
    const fs::path folder = work_.Path("killed/checkpoints");
    const auto steps = [&] {
      std::error_code ignored;
      int count = 0;
      for (const auto& entry : fs::directory_iterator(folder, ignored)) {
        count += absl::StartsWith(entry.path().filename().string(), "step-");
      }
      return count;
    };
    const int before = steps();
    for (int i = 0; i < 3000 && steps() <= before; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const std::vector<pid_t> ranks = work_.Ranks("killed");
    if (!ranks.empty()) ::kill(ranks[static_cast<size_t>(round) % ranks.size()], SIGKILL);
    (void)run->Wait();
    ASSERT_TRUE(work_.RanksEnd("killed", 30));
  }
  const Ended run = Train("killed", 2);
  EXPECT_EQ(run.code, 0) << run.output;
  EXPECT_EQ(work_.TracesOf("killed"), calm) << run.output;
  for (const auto& entry : fs::directory_iterator(work_.Path("killed/checkpoints"))) {
    EXPECT_FALSE(absl::StartsWith(entry.path().filename().string(), ".")) << "left: " << entry.path();
  }
}

// A plain file where the folder of a save is to be: that save fails, and nothing else does.
TEST_F(Checkpoints, ASaveThatFailsIsReportedAndTheRunGoesOn) {
  const Traces calm = Calm();
  fs::create_directories(work_.Path("blocked/checkpoints"));
  std::ofstream(work_.Path("blocked/checkpoints/.tmp-step-00000006")) << "in the way";
  const Ended run = Train("blocked", 1);
  EXPECT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("checkpoint of step 6 not saved: cannot create folder"));
  EXPECT_THAT(run.output, HasSubstr("training goes on"));
  EXPECT_EQ(work_.TracesOf("blocked"), calm);
  EXPECT_FALSE(fs::exists(Path("blocked", 6)));
  EXPECT_TRUE(fs::exists(Path("blocked", 9))) << "the next one was due at step 9";
}

TEST_F(Checkpoints, TheLastSaveFailingIsAnErrorOfTheRun) {
  fs::create_directories(work_.Path("blocked/checkpoints"));
  std::ofstream(work_.Path("blocked/checkpoints/.tmp-step-00000012")) << "in the way";
  Ended run = Train("blocked", 2, {"--set", "execution.checkpoint.shard_mib=0"});
  EXPECT_EQ(run.code, 5) << run.output;
  EXPECT_THAT(run.output, HasSubstr("the last checkpoint, of step 12"));
  EXPECT_EQ(work_.ResultField("blocked", "exit_code"), "5");
  // With the cause gone the run continues from the one before, and ends well.
  fs::remove(work_.Path("blocked/checkpoints/.tmp-step-00000012"));
  run = Train("blocked", 2);
  EXPECT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("resuming after step 9"));
  EXPECT_EQ(work_.TracesOf("blocked"), Calm());
}

// Room for one checkpoint and a half: the first is kept, later ones fail, and so does the run at its end.
TEST_F(Checkpoints, AFullDisk) {
  const std::string folder = work_.Path("full/checkpoints");
  fs::create_directories(folder);
  if (::mount("lockstep-test", folder.c_str(), "tmpfs", 0, "size=6m") != 0) {
    GTEST_SKIP() << "cannot mount a small tmpfs here: " << ::strerror(errno);
  }
  struct Unmount {
    const std::string& folder;
    ~Unmount() { ::umount2(folder.c_str(), MNT_DETACH); }
  } const unmount{folder};
  Ended run = Train("full", 3);
  EXPECT_EQ(run.code, 5) << run.output;
  EXPECT_THAT(run.output, HasSubstr("No space left on device"));
  EXPECT_THAT(run.output, HasSubstr("checkpoint of step 6 not saved"));
  EXPECT_EQ(Checkpoint({"verify", work_.Path("full")}).code, 0) << "the first one is whole";
  // More room, and the run goes on from it.
  EXPECT_EQ(::mount("lockstep-test", folder.c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0);
  run = Train("full", 2);
  EXPECT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("resuming after step 3"));
  EXPECT_EQ(work_.TracesOf("full"), Calm());
}

}  // namespace
}  // namespace lockstep::testing
