// A disturbed run ends as a calm one, bit for bit: killed, interrupted, stopped, damaged, moved, refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "runtime/train/manifest.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

void Sleep(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

// A run that saves after each step, so that most moments are moments of saving.
class Resume : public ::testing::Test {
 protected:
  Resume() : config_(work_.WriteConfig("small", kSmallConfig)) {}

  Command CommandFor(const std::string& out, int ranks, StartWith start = StartWith::kMpirun) const {
    return {.config = config_, .out = out, .ranks = ranks, .arguments = arguments_, .start = start};
  }
  Command With(Command command, const std::vector<std::string>& more) const {
    command.arguments.insert(command.arguments.end(), more.begin(), more.end());
    return command;
  }

  // The run that nobody disturbed, and that saved nothing on its way.
  Traces Calm() const {
    const Ended run = work_.Train(
        With(CommandFor("calm", 1, StartWith::kNothing), {"--set", "execution.checkpoint.every_steps=0"}));
    EXPECT_EQ(run.code, 0) << run.output;
    return work_.TracesOf("calm");
  }

  void ExpectFinishesAs(const Traces& calm, const Command& command) const {
    const Ended run = work_.Train(command);
    EXPECT_EQ(run.code, 0) << run.output;
    EXPECT_EQ(work_.ResultField(command.out, "status"), "\"done\"") << run.output;
    EXPECT_EQ(work_.TracesOf(command.out), calm) << run.output;
  }

  int StepsDone(const std::string& out) const {
    const std::string metrics = work_.Read(out + "/metrics.jsonl");
    return static_cast<int>(std::count(metrics.begin(), metrics.end(), '\n'));
  }
  // Waits until the run has gone on by `more` lines. False when it does not within 30 s.
  bool GoesOn(const std::string& out, int more) const {
    const int before = StepsDone(out);
    return WaitUntil([&] { return StepsDone(out) >= before + more; });
  }
  std::vector<std::string> Checkpoints(const std::string& out) const {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(work_.Path(out + "/checkpoints"), ignored)) {
      const std::string name = entry.path().filename().string();
      if (absl::StartsWith(name, "step-")) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  void CopyOfTheRecords(const std::string& folder) const {
    fs::create_directory(work_.Path(folder));
    for (const auto& entry : fs::directory_iterator(LOCKSTEP_SOURCE_DIR "/examples/data")) {
      const std::string name = entry.path().filename().string();
      if (absl::StartsWith(name, "digits")) fs::copy(entry.path(), work_.Path(folder + "/" + name));
    }
  }
  std::string ConfigOnRecords(const std::string& folder) const {
    return work_.WriteConfig(folder, absl::StrReplaceAll(kSmallConfig, {{"DATA", work_.Path(folder)}}));
  }

  const Workspace work_;
  const std::string config_;
  void SetSteps(int steps) { arguments_[2] = absl::StrCat("steps=", steps); }

  std::vector<std::string> arguments_ = {"--ledger", "--set", "steps=100", "--set",
                                         "execution.checkpoint.every_steps=1"};
};

TEST_F(Resume, KilledAtRandomMomentsAndResumedWithOtherWorlds) {
  std::mt19937 random(20240229);
  const std::vector<int> worlds = {2, 3, 1, 4, 2, 5, 2, 3};
  const char* const asked = std::getenv("LOCKSTEP_KILLS");
  const int kills = asked != nullptr ? std::atoi(asked) : static_cast<int>(worlds.size());
  SetSteps(50 * kills);
  const Traces calm = Calm();
  int killed = 0;
  for (int i = 0; i < kills; ++i) {
    const auto run = work_.Start(CommandFor("killed", worlds[i % worlds.size()]));
    if (i % 4 == 3) {
      Sleep(static_cast<int>(random() % 400));  // while it starts
    } else {
      // Its cutting back makes the file shorter first, so what counts is that lines are there and move.
      ASSERT_TRUE(WaitUntil([&] { return StepsDone("killed") > 0; })) << run->Output();
      (void)GoesOn("killed", 1 + static_cast<int>(random() % 8));
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 10000));
    }
    run->Signal(SIGKILL);
    killed += run->Wait() == 128 + SIGKILL;
    EXPECT_TRUE(work_.RanksEnd("killed", 5)) << "ranks outlive their launcher";
  }
  EXPECT_GE(killed, kills / 2) << "too many runs ended before they were killed";
  ExpectFinishesAs(calm, CommandFor("killed", 3));
  // Nothing half-written is left.
  for (const auto& entry : fs::directory_iterator(work_.Path("killed/checkpoints"))) {
    EXPECT_THAT(entry.path().filename().string(), Not(::testing::StartsWith(".")));
  }
}

TEST_F(Resume, ARankThatIsKilledEndsTheRunSoonAndLosesNothing) {
  SetSteps(400);
  const Traces calm = Calm();
  for (const StartWith start : {StartWith::kMpirun, StartWith::kLaunch}) {
    const std::string out = start == StartWith::kMpirun ? "mpirun" : "launch";
    const auto run = work_.Start(CommandFor(out, 3, start));
    ASSERT_TRUE(GoesOn(out, 5)) << run->Output();
    const std::vector<pid_t> ranks = work_.Ranks(out);
    ASSERT_FALSE(ranks.empty()) << run->Output();
    kill(ranks.back(), SIGKILL);
    EXPECT_NE(run->Wait(), 0);
    EXPECT_TRUE(work_.RanksEnd(out, 5));
    EXPECT_LT(StepsDone(out), 400);
    ExpectFinishesAs(calm, CommandFor(out, 2, start));
  }
}

TEST_F(Resume, SignalsMakeItCheckpointAndLeave) {
  // Long enough to be met in the middle, without saving on the way.
  SetSteps(1500);
  arguments_.back() = "execution.checkpoint.every_steps=0";
  const Traces calm = Calm();
  struct Case {
    int signal, code;
    StartWith start;
    int ranks;
  };
  arguments_.back() =
      "execution.checkpoint.every_steps=0";  // so that the signal's checkpoint is the only one
  int number = 0;
  for (const Case& c : std::vector<Case>{{SIGTERM, 143, StartWith::kNothing, 1},
                                         {SIGINT, 130, StartWith::kLaunch, 2},
                                         {SIGUSR1, 0, StartWith::kLaunch, 3},
                                         {SIGTERM, 143, StartWith::kLaunch, 4},
                                         {SIGUSR1, 0, StartWith::kMpirun, 2}}) {
    const std::string out = absl::StrCat("signal-", ++number);
    const auto run = work_.Start(With(CommandFor(out, c.ranks, c.start), {"--trace"}));
    ASSERT_TRUE(GoesOn(out, 3)) << run->Output();
    run->Signal(c.signal);
    EXPECT_EQ(run->Wait(), c.code) << run->Output();
    EXPECT_EQ(work_.ResultField(out, "status"), "\"interrupted\"");
    ASSERT_FALSE(Checkpoints(out).empty()) << run->Output();
    EXPECT_EQ(std::stoi(Checkpoints(out).back().substr(5)), std::stoi(work_.ResultField(out, "steps")));
    ExpectFinishesAs(calm, CommandFor(out, 2));
  }
}

TEST_F(Resume, StoppedAtAStepAndContinued) {
  const Traces calm = Calm();
  for (const char* steps : {"1", "9", "50", "99", "100"}) {
    const Ended run = work_.Train(With(CommandFor("steps", 2), {"--steps", steps}));
    EXPECT_EQ(run.code, 0) << run.output;
    EXPECT_EQ(work_.ResultField("steps", "steps"), steps);
  }
  ExpectFinishesAs(calm, CommandFor("steps", 3));
  ExpectFinishesAs(calm, CommandFor("steps", 1));  // nothing is left to do
}

TEST_F(Resume, FallsBackWhenTheNewestCheckpointIsDamaged) {
  const Traces calm = Calm();
  const Command stop = With(CommandFor("damaged", 2), {"--steps", "60"});
  ASSERT_EQ(work_.Train(stop).code, 0);
  const std::vector<std::string> names = Checkpoints("damaged");
  ASSERT_GE(names.size(), 3);
  const auto damage = [&](const std::string& name, bool cut) {
    for (const auto& entry : fs::directory_iterator(work_.Path("damaged/checkpoints/" + name))) {
      if (entry.path().extension() != ".safetensors") continue;
      const auto size = fs::file_size(entry.path());
      if (cut) {
        fs::resize_file(entry.path(), size / 2);
      } else {
        std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(size) - 9);
        file.put('\x5a');
      }
      return;
    }
    FAIL() << "no safetensors file in " << name;
  };
  damage(names.back(), /*cut=*/false);
  damage(names[names.size() - 2], /*cut=*/true);
  const Ended run = work_.Train(CommandFor("damaged", 3));
  EXPECT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output, AllOf(HasSubstr(absl::StrCat("passing over")), HasSubstr(names.back()),
                                HasSubstr("resuming after step 58")));
  EXPECT_EQ(work_.TracesOf("damaged"), calm) << run.output;
}

TEST_F(Resume, TakesTheCheckpointThatIsNamed) {
  const Traces calm = Calm();
  ASSERT_EQ(work_.Train(With(CommandFor("first", 2), {"--steps", "40"})).code, 0);
  const std::string newest = work_.Path("first/checkpoints/step-00000040");
  const Ended other = work_.Train(With(CommandFor("second", 3), {"--resume", newest}));
  EXPECT_EQ(other.code, 0) << other.output;
  EXPECT_THAT(other.output, HasSubstr("resuming after step 40"));
  EXPECT_EQ(work_.TracesOf("second").weights_sha256, calm.weights_sha256);
  EXPECT_EQ(work_.TracesOf("second").state_sha256, calm.state_sha256);
  // An earlier one of the same folder: what came after it is made again.
  ASSERT_GE(Checkpoints("first").size(), 2);
  const std::string earlier = work_.Path("first/checkpoints/" + Checkpoints("first").front());
  ExpectFinishesAs(calm, With(CommandFor("first", 2), {"--resume", earlier}));
  const Ended none = work_.Train(
      With(CommandFor("third", 1, StartWith::kNothing), {"--resume", work_.Path("no-such-checkpoint")}));
  EXPECT_EQ(none.code, 5) << none.output;
  EXPECT_THAT(none.output, HasSubstr("no-such-checkpoint"));
}

TEST_F(Resume, NeverRefusesAFolderWithCheckpoints) {
  ASSERT_EQ(work_.Train(With(CommandFor("run", 1, StartWith::kNothing), {"--steps", "5"})).code, 0);
  const Ended never = work_.Train(With(CommandFor("run", 2), {"--resume", "never"}));
  EXPECT_EQ(never.code, 2) << never.output;
  EXPECT_THAT(never.output, AllOf(HasSubstr("--resume never"), HasSubstr("step"), HasSubstr("--out")));
  EXPECT_EQ(work_.Train(With(CommandFor("new", 2), {"--resume", "never", "--steps", "5"})).code, 0);
}

TEST_F(Resume, AnotherRecipeOrDatasetIsRefusedUnlessForked) {
  ASSERT_EQ(work_.Train(With(CommandFor("run", 2), {"--steps", "10"})).code, 0);
  const Traces before = work_.TracesOf("run");
  const std::vector<std::string> changed = {"--set", "optimizer.sgd.lr=0.05", "--steps", "20"};
  const Ended refused = work_.Train(With(CommandFor("run", 2), changed));
  EXPECT_EQ(refused.code, 5) << refused.output;
  EXPECT_THAT(refused.output,
              AllOf(HasSubstr("optimizer.sgd.lr"), HasSubstr("0.1"), HasSubstr("0.05"), HasSubstr("--fork")));
  EXPECT_EQ(work_.TracesOf("run").metrics, before.metrics) << "a refusal leaves the folder as it was";

  CopyOfTheRecords("data");
  Command own = With(CommandFor("own", 2), {"--steps", "10"});
  own.config = ConfigOnRecords("data");
  ASSERT_EQ(work_.Train(own).code, 0);
  fs::remove(work_.Path("data/digits-train-00001-of-00002.tfrecord"));
  own.arguments.back() = "20";
  const Ended data = work_.Train(own);
  EXPECT_EQ(data.code, 5) << data.output;
  EXPECT_THAT(data.output, AllOf(HasSubstr("the training data"), HasSubstr("--fork")));

  const Ended forked = work_.Train(With(With(CommandFor("run", 2), changed), {"--fork"}));
  EXPECT_EQ(forked.code, 0) << forked.output;
  EXPECT_THAT(forked.output, AllOf(HasSubstr("new lineage"), HasSubstr("optimizer.sgd.lr")));
  EXPECT_EQ(work_.ResultField("run", "steps"), "20");
}

TEST_F(Resume, DataMayMoveBetweenAStopAndItsResume) {
  const Traces calm = Calm();
  ASSERT_EQ(work_.Train(With(CommandFor("moved", 2), {"--steps", "30"})).code, 0);
  CopyOfTheRecords("elsewhere");
  Command moved = CommandFor("moved", 3);
  moved.config = ConfigOnRecords("elsewhere");
  // Other records to validate on are another run, though.
  const fs::path held_out = work_.Path("elsewhere/digits-test-00000-of-00001.tfrecord");
  ASSERT_TRUE(fs::exists(held_out));
  fs::rename(held_out, work_.Path("kept"));
  fs::copy(work_.Path("elsewhere/digits-train-00000-of-00002.tfrecord"), held_out);
  const Ended refused = work_.Train(moved);
  EXPECT_EQ(refused.code, 5) << refused.output;
  EXPECT_THAT(refused.output, AllOf(HasSubstr("the validation data"), Not(HasSubstr("the training data"))));
  fs::remove(held_out);
  fs::rename(work_.Path("kept"), held_out);
  ExpectFinishesAs(calm, moved);
}

TEST_F(Resume, ACheckpointOfANewerFormatIsRefusedNotPassedOver) {
  ASSERT_EQ(work_.Train(With(CommandFor("run", 2), {"--steps", "10"})).code, 0);
  const Traces before = work_.TracesOf("run");
  const std::string name = "run/checkpoints/" + Checkpoints("run").back() + "/manifest.textproto";
  auto manifest = train::ParseManifest(work_.Read(name), name);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  manifest->format_version = train::kCheckpointFormatVersion + 1;
  std::ofstream(work_.Path(name)) << train::SerializeManifest(*manifest);
  const Ended refused = work_.Train(CommandFor("run", 2));
  EXPECT_EQ(refused.code, 5) << refused.output;
  EXPECT_THAT(refused.output, AllOf(HasSubstr("checkpoint format"), HasSubstr("newer")));
  EXPECT_EQ(work_.TracesOf("run").metrics, before.metrics) << "a refusal leaves the folder as it was";
}

TEST_F(Resume, AKilledStartLeavesNoResultOfAnEarlierOne) {
  SetSteps(1000000);
  ASSERT_EQ(work_.Train(With(CommandFor("run", 2), {"--steps", "5"})).code, 0);
  EXPECT_EQ(work_.ResultField("run", "status"), "\"done\"");
  const auto run = work_.Start(CommandFor("run", 2));
  ASSERT_TRUE(GoesOn("run", 3)) << run->Output();
  run->Signal(SIGKILL);
  run->Wait();
  EXPECT_TRUE(work_.RanksEnd("run", 5));
  EXPECT_FALSE(fs::exists(work_.Path("run/result.json")));
}

TEST_F(Resume, ASecondRunInTheSameFolderIsRefusedWhileTheFirstLives) {
  SetSteps(1000000);
  const auto first = work_.Start(CommandFor("shared", 2));
  ASSERT_TRUE(GoesOn("shared", 3)) << first->Output();
  const auto begin = std::chrono::steady_clock::now();
  const Ended second = work_.Train(CommandFor("shared", 2));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(second.code, 2) << second.output;
  EXPECT_THAT(second.output, AllOf(HasSubstr("is in use"), HasSubstr("process ")));
  bool named = false;
  for (const pid_t pid : work_.Ranks("shared")) {
    named |= absl::StrContains(second.output, absl::StrCat("process ", pid));
  }
  EXPECT_TRUE(named) << second.output;
  EXPECT_GT(took.count(), 10) << "it should wait for a run that is just ending";
  EXPECT_TRUE(GoesOn("shared", 3)) << "the first run is not disturbed\n" << first->Output();
  first->Signal(SIGKILL);
  first->Wait();
  EXPECT_TRUE(work_.RanksEnd("shared", 5));
}

}  // namespace
}  // namespace lockstep::testing
