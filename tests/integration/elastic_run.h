// Runs of `launch --elastic` and `mpirun --enable-recovery` whose ranks die, for tests.
#ifndef LOCKSTEP_TESTS_INTEGRATION_ELASTIC_RUN_H_
#define LOCKSTEP_TESTS_INTEGRATION_ELASTIC_RUN_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {

class ElasticRun : public ::testing::Test {
 protected:
  ElasticRun() : config_(work_.WriteConfig("small", kSmallConfig)) {}

  Command CommandFor(const std::string& out, int ranks, StartWith start,
                     const std::string& faults = "") const {
    Command command = {.config = config_, .out = out, .ranks = ranks, .start = start};
    command.arguments = {"--ledger",
                         "--set",
                         absl::StrCat("steps=", steps_),
                         "--set",
                         absl::StrCat("execution.checkpoint.every_steps=", save_every_),
                         "--set",
                         absl::StrCat("execution.comm.deadline_seconds=", deadline_)};
    if (!faults.empty()) command.environment = {absl::StrCat("LOCKSTEP_FAULTS=", faults)};
    return command;
  }
  // `launch --elastic` that starts nothing again: whoever dies stays away.
  static Command WithoutRestarts(Command command) {
    command.launcher_arguments = {"--max-restarts", "0"};
    return command;
  }

  Traces Calm() const {
    const Ended run = work_.Train(CommandFor("calm", 1, StartWith::kNothing));
    EXPECT_EQ(run.code, 0) << run.output;
    return work_.TracesOf("calm");
  }

  void ExpectCalm(const Traces& calm, const std::string& out, const std::string& output) const {
    EXPECT_EQ(work_.ResultField(out, "status"), "\"done\"") << output;
    EXPECT_EQ(work_.TracesOf(out), calm) << output;
    EXPECT_TRUE(work_.RanksEnd(out, 10)) << "ranks outlive their run";
    for (const auto& entry : std::filesystem::directory_iterator(work_.Path(out + "/checkpoints"))) {
      EXPECT_THAT(entry.path().filename().string(), ::testing::Not(::testing::StartsWith(".")))
          << "half-written";
    }
  }

  // A run whose ranks meet `faults`.
  void ExpectSurvives(const Traces& calm, const Command& command, const std::string& generations) const {
    SCOPED_TRACE(command.environment.empty() ? command.out : command.environment[0]);
    const Ended run = work_.Train(command);
    ExpectCalm(calm, command.out, run.output);
    if (!generations.empty()) {
      EXPECT_EQ(work_.ResultField(command.out, "generations"), generations) << run.output;
    }
    EXPECT_THAT(run.output, ::testing::Not(::testing::HasSubstr("Check failed")));
  }

  int LinesOf(const std::string& out) const {
    const std::string metrics = work_.Read(out + "/metrics.jsonl");
    return static_cast<int>(std::count(metrics.begin(), metrics.end(), '\n'));
  }
  bool GoesOn(const std::string& out, int more) const {
    const int before = LinesOf(out);
    return WaitUntil([&] { return LinesOf(out) >= before + more; });
  }
  // The program's `ctl`.
  Ended Ctl(const std::string& out, const std::string& request) const {
    std::vector<std::string> words = {ProgramPath(), "ctl", work_.Path(out)};
    for (const auto word : absl::StrSplit(request, ' ')) words.emplace_back(word);
    Subprocess process(words);
    const int code = process.Wait();
    return {code, process.Output()};
  }
  Ended Verify(const std::string& out) const {
    Subprocess process({ProgramPath(), "checkpoint", "verify", work_.Path(out)});
    const int code = process.Wait();
    return {code, process.Output()};
  }
  bool HasRanks(const std::string& out, const std::string& ranks) const {
    return WaitUntil([&] { return absl::StrContains(Ctl(out, "status").output, ranks + " as generation"); });
  }

  const Workspace work_;
  std::string config_;
  int steps_ = 60;
  int save_every_ = 7;
  int deadline_ = 20;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_INTEGRATION_ELASTIC_RUN_H_
