// The supervisors of jobs that end when a rank dies: scripts/run_mpirun.sh with the real mpirun, and
// scripts/run_slurm.sh with a stand-in for srun that hands its words to mpirun (there is no Slurm here).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Supervise : public ::testing::Test {
 protected:
  Supervise() : config_(work_.WriteConfig("small", kSmallConfig)) {
    const std::string folder = LOCKSTEP_MPIRUN;
    path_ = absl::StrCat("PATH=", work_.Path("bin"), ":", folder.substr(0, folder.rfind('/')), ":",
                         std::getenv("PATH"));
    mkdir(work_.Path("bin").c_str(), 0700);
    const std::string srun = work_.Path("bin/srun");
    std::ofstream(srun) << "#!/bin/sh\nexec mpirun \"$@\"\n";
    chmod(srun.c_str(), 0700);
  }

  std::vector<std::string> Words(const std::string& script, const std::string& out, int ranks,
                                 const std::vector<std::string>& arguments) const {
    std::vector<std::string> words = {"/usr/bin/env", path_};
    if (!faults_.empty()) words.push_back(absl::StrCat("LOCKSTEP_FAULTS=", faults_));
    words.insert(words.end(),
                 {absl::StrCat(LOCKSTEP_SOURCE_DIR, "/scripts/", script), "--max-restarts", "3",
                  "--first-wait", "0.1", "-n", absl::StrCat(ranks), ProgramPath(), "train", config_, "--out",
                  work_.Path(out), "--ledger", "--set", absl::StrCat("steps=", steps_), "--set",
                  "execution.checkpoint.every_steps=97", "--set", "execution.comm.deadline_seconds=10"});
    words.insert(words.end(), arguments.begin(), arguments.end());
    return words;
  }
  std::unique_ptr<Subprocess> Start(const std::string& script, const std::string& out, int ranks,
                                    const std::vector<std::string>& arguments = {}) const {
    return std::make_unique<Subprocess>(Words(script, out, ranks, arguments));
  }
  Traces Calm() const {
    const Ended run = work_.Train({.config = config_,
                                   .out = "calm",
                                   .arguments = {"--ledger", "--set", absl::StrCat("steps=", steps_)},
                                   .start = StartWith::kNothing});
    EXPECT_EQ(run.code, 0) << run.output;
    return work_.TracesOf("calm");
  }
  bool GetsTo(const std::string& out, int lines) const {
    return WaitUntil([&] {
      const std::string metrics = work_.Read(out + "/metrics.jsonl");
      return std::count(metrics.begin(), metrics.end(), '\n') >= lines;
    });
  }

  const Workspace work_;
  const std::string config_;
  std::string path_, faults_;
  int steps_ = 3000;
};

// With MPI as the transport nobody outlives a death, so this is what brings the run back.
TEST_F(Supervise, AKilledRankOfAnMpiJobIsAnotherStart) {
  const Traces calm = Calm();
  const std::string backend = LOCKSTEP_HAS_MPI ? "mpi" : "tcp";
  for (const char* script : {"run_mpirun.sh", "run_slurm.sh"}) {
    const std::string out = absl::StrCat(script, ".out");
    const auto run =
        Start(script, out, 3,
              {"--set", absl::StrCat("execution.comm.backend=", backend), "--set", "execution.recovery=OFF"});
    ASSERT_TRUE(GetsTo(out, 150)) << run->Output();
    const std::vector<pid_t> ranks = work_.Ranks(out);
    ASSERT_FALSE(ranks.empty());
    kill(ranks[1 % ranks.size()], SIGKILL);
    EXPECT_EQ(run->Wait(), 0) << run->Output();
    EXPECT_THAT(run->Output(), HasSubstr("starting it again from its newest checkpoint"));
    EXPECT_THAT(run->Output(), HasSubstr("resuming after step"));
    EXPECT_EQ(work_.ResultField(out, "status"), "\"done\"") << run->Output();
    EXPECT_EQ(work_.TracesOf(out), calm) << run->Output();
    EXPECT_TRUE(work_.RanksEnd(out, 10));
  }
}

// mpirun --enable-recovery ends with 0 though nobody was left; result.json is what tells.
TEST_F(Supervise, AnExitCodeOfZeroIsNotBelieved) {
  const Traces calm = Calm();
  const auto run = Start("run_mpirun.sh", "all", 2);
  ASSERT_TRUE(GetsTo("all", 150)) << run->Output();
  for (const pid_t rank : work_.Ranks("all")) kill(rank, SIGSTOP);
  for (const pid_t rank : work_.Ranks("all")) kill(rank, SIGKILL);
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  EXPECT_THAT(run->Output(), HasSubstr("starting it again"));
  EXPECT_EQ(work_.TracesOf("all"), calm) << run->Output();
}

TEST_F(Supervise, RestartsAreCapped) {
  faults_ = "step.begin:0:5:kill";
  const auto run = Start("run_mpirun.sh", "capped", 2);
  EXPECT_EQ(run->Wait(), 4) << run->Output();
  EXPECT_THAT(run->Output(), HasSubstr("(3 of 3)"));
  EXPECT_THAT(run->Output(), HasSubstr("after 3 restarts in a row; giving up"));
}

TEST_F(Supervise, WhatAnotherStartWouldNotMendIsLeft) {
  const auto run = Start("run_mpirun.sh", "wrong", 2, {"--set", "lanes=0"});
  EXPECT_EQ(run->Wait(), 2) << run->Output();
  EXPECT_THAT(run->Output(), Not(HasSubstr("starting it again")));
  Subprocess nowhere(
      {"/usr/bin/env", path_, LOCKSTEP_SOURCE_DIR "/scripts/run_mpirun.sh", "-n", "2", "true"});
  EXPECT_EQ(nowhere.Wait(), 2);
  EXPECT_THAT(nowhere.Output(), HasSubstr("--out"));
}

TEST_F(Supervise, ASecondSupervisorIsRefusedAndASignalEndsTheFirst) {
  steps_ = 100000;
  const auto run = Start("run_mpirun.sh", "one", 2);
  ASSERT_TRUE(GetsTo("one", 50)) << run->Output();
  const auto second = Start("run_slurm.sh", "one", 2);
  EXPECT_EQ(second->Wait(), 2);
  EXPECT_THAT(second->Output(), HasSubstr("has a supervisor already"));
  run->Signal(SIGUSR1);
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  EXPECT_THAT(run->Output(), Not(HasSubstr("starting it again")));
  EXPECT_EQ(work_.ResultField("one", "status"), "\"interrupted\"");
}

}  // namespace
}  // namespace lockstep::testing
