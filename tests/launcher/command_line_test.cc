// The program as users meet it: help, errors and exit codes, from outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/launcher/subprocess.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Outcome {
  int code;
  std::string output;  // standard output and error
};

Outcome RunLockstep(const std::string& words) {
  std::vector<std::string> arguments = {LOCKSTEP_BINARY_DIR "/bin/lockstep"};
  for (absl::string_view word : absl::StrSplit(words, ' ', absl::SkipEmpty())) arguments.emplace_back(word);
  testing::Subprocess process(arguments);
  const int code = process.Wait();
  return {code, process.Output()};
}

void ExpectError(const std::string& words, int code, const std::vector<std::string>& parts) {
  const Outcome outcome = RunLockstep(words);
  EXPECT_EQ(outcome.code, code) << words << "\n" << outcome.output;
  for (const std::string& part : parts) EXPECT_THAT(outcome.output, HasSubstr(part)) << words;
}

std::string WriteConfig(const std::string& name, const std::string& text) {
  const std::string path = ::testing::TempDir() + "/" + name;
  std::ofstream(path) << text;
  return path;
}

constexpr char kSynthetic[] =
    "model { name: 'mlp' mlp { hidden: 32 } }\n"
    "data { synthetic { shape: 16 classes: 4 records: 256 } }\n"
    "lanes: 4 global_batch: 32 steps: 5\n";

TEST(CommandLine, EveryCommandHasHelpWithAnExample) {
  EXPECT_THAT(RunLockstep("--help").output, AllOf(HasSubstr("train"), HasSubstr("Exit codes")));
  for (const char* command :
       {"train", "launch", "comm", "records", "records make", "records index", "records ls", "records stat",
        "records verify", "records cat", "records bench", "checkpoint", "checkpoint ls", "checkpoint verify",
        "checkpoint diff", "checkpoint export", "model", "model describe", "version"}) {
    const Outcome outcome = RunLockstep(absl::StrCat(command, " --help"));
    EXPECT_EQ(outcome.code, 0) << command;
    EXPECT_THAT(outcome.output,
                AllOf(HasSubstr(absl::StrCat("Usage: lockstep ", command)), HasSubstr("Example")))
        << command;
  }
}

TEST(CommandLine, TrainHelpNamesTheFlagsThatScriptsUse) {
  const std::string help = RunLockstep("train --help").output;
  for (const char* flag :
       {"--out", "--steps", "--resume", "--set", "--ledger", "--trace", "--dry-run", "--fork"}) {
    EXPECT_THAT(help, HasSubstr(flag));
  }
}

TEST(CommandLine, UnknownCommandsAndFlagsNameTheNearest) {
  ExpectError("trian x", 2, {"unknown command 'trian'", "'train'"});
  ExpectError("", 2, {"say which command", "train"});
  ExpectError("train x --stps 3", 2, {"unknown flag '--stps'", "'--steps'"});
  ExpectError("train x --stps=3", 2, {"unknown flag '--stps'", "'--steps'"});
  ExpectError("comm all_reduce --bakend shm", 2, {"'--backend'"});
  ExpectError("records lss", 2, {"unknown command 'lss'", "'ls'"});
  ExpectError("model descibe gpt", 2, {"'describe'"});
  ExpectError("train x y --out z", 2, {"unexpected argument 'y'"});
  ExpectError("train", 2, {"file is required"});
  ExpectError("train x --steps many", 2, {"--steps"});
}

TEST(CommandLine, CommChecksWhatItIsGiven) {
  for (const char* seconds : {"0", "-1", "nan"}) {
    ExpectError(absl::StrCat("comm all_reduce --deadline ", seconds), 2, {"--deadline"});
  }
  ExpectError("comm all_reduce -T -1", 2, {"-T"});
  ExpectError("comm all_reduce --cost-model /nowhere/model", 2, {"--cost-model", "/nowhere/model"});
}

TEST(CommandLine, LaunchChecksWhatItIsGiven) {
  ExpectError("launch", 2, {"--ranks is required"});
  ExpectError("launch -n 0 -- train x", 2, {"1 to 4096"});
  ExpectError("launch -n 2", 2, {"say what the ranks run"});
  ExpectError("launch -n 2 -- trian x", 2, {"ranks cannot run 'trian'", "'train'"});
  ExpectError("launch -n 2 --bnid none -- train x", 2, {"unknown flag '--bnid'", "'--bind'"});
  ExpectError("launch -n 2 --elastic -- train x", 2, {"--elastic", "no --out"});
  ExpectError("launch -n 2 --elastic -- comm all_reduce", 2, {"--elastic", "those of `train` can"});
  ExpectError("launch -n 2 --elastic --max-restarts -1 -- train x --out y", 2, {"--max-restarts -1"});
  ExpectError("launch -n 2 -- train x --stps 3", 2, {"unknown flag '--stps'"});
}

TEST(CommandLine, CtlNamesWhatIsNotThere) {
  ExpectError("ctl", 2, {"run is required"});
  ExpectError("ctl no/such/run status", 2, {"there is no run in no/such/run"});
  ExpectError("ctl . status", 2, {"no run answers", "control.sock"});
  ExpectError("ctl . shrink -1", 2, {"'-1'", "from 0"});
}

TEST(CommandLine, ConfigurationErrorsNameFileAndField) {
  ExpectError("train no/such.textproto --out x", 2, {"no/such.textproto"});
  const std::string typo = WriteConfig("typo.textproto", "lanes: 8\nglobal_bach: 64\n");
  ExpectError(absl::StrCat("train ", typo, " --out x"), 2, {absl::StrCat(typo, ":2:1:"), "'global_batch'"});
  const std::string good = WriteConfig("good.textproto", kSynthetic);
  ExpectError(absl::StrCat("train ", good), 2, {"--out is required"});
  ExpectError(absl::StrCat("train ", good, " --out x --set lanez=2"), 2, {"--set lanez=2", "'lanes'"});
  ExpectError(absl::StrCat("train ", good, " --out x --set global_batch=30"), 2, {"28 or 32"});
  ExpectError(absl::StrCat("train ", good, " --out x --steps -1"), 2, {"--steps", "'-1'", "from 0"});
  ExpectError(absl::StrCat("train ", good, " --out x --steps 99999999999999999999"), 2,
              {"--steps", "'99999999999999999999'"});
  ExpectError(absl::StrCat("launch -n 5 -- train ", good, " --out x"), 2, {"4 lanes", "5 ranks", "lanes: 5"});
}

TEST(CommandLine, DryRunPrintsTheCompleteConfiguration) {
  const std::string good = WriteConfig("good.textproto", kSynthetic);
  const Outcome outcome = RunLockstep(absl::StrCat("train ", good, " --dry-run --set seed=9"));
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("seed: 9"), HasSubstr("reduction: REPRODUCIBLE"), HasSubstr("adamw")));
}

TEST(CommandLine, ModelDescribeCountsParameters) {
  const std::string good = WriteConfig("good.textproto", kSynthetic);
  const Outcome mlp = RunLockstep(absl::StrCat("model describe ", good));
  EXPECT_EQ(mlp.code, 0) << mlp.output;
  EXPECT_THAT(mlp.output, HasSubstr("total: 676 trained parameters"));  // 16 * 32 + 32 + 32 * 4 + 4
  const Outcome resnet = RunLockstep("model describe resnet18");
  EXPECT_EQ(resnet.code, 0) << resnet.output;
  EXPECT_THAT(resnet.output, HasSubstr("11173962"));  // the CIFAR variant of ResNet-18 with 10 classes
  ExpectError("model describe resnet81", 2, {"resnet18"});
  ExpectError("model describe no/such.textproto", 2, {"no/such.textproto"});
}

TEST(CommandLine, VersionNamesTheBuild) {
  const Outcome outcome = RunLockstep("version");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("lockstep "), HasSubstr("build id: "), HasSubstr("compiler: "),
                                    HasSubstr("build type: "), HasSubstr("onednn")));
  EXPECT_EQ(RunLockstep("version").output, outcome.output);
}

}  // namespace
}  // namespace lockstep
