// What people get wrong, through the real program: the exit code, and whether the message says what, where
// and what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/data/record_bytes.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

// A config whose records are of the test's own making.
constexpr char kOwnData[] = R"(
model { name: "mlp" mlp { hidden: [8] } }
data {
  train: "TRAIN"
  input { feature: "x" shape: [4] }
  label { feature: "y" classes: 3 } }
lanes: 4 global_batch: 8 steps: 20
execution { threads: 1 read_ahead_steps: 1 }
)";

class BadInput : public ::testing::Test {
 protected:
  // Without a launcher, so the code is the rank's own.
  Ended Alone(const std::string& config, const std::vector<std::string>& arguments = {}) {
    return work_.Train({.config = config,
                        .out = absl::StrCat("run-", ++runs_),
                        .arguments = arguments,
                        .start = StartWith::kNothing});
  }
  void ExpectError(const Ended& run, int code, const std::vector<std::string>& parts) {
    EXPECT_EQ(run.code, code) << run.output;
    for (const std::string& part : parts) EXPECT_THAT(run.output, HasSubstr(part));
    EXPECT_THAT(run.output, Not(HasSubstr("terminate called")));
  }

  std::string Digits() const { return work_.WriteConfig("digits", kSmallConfig); }
  static std::vector<std::string> Set(const std::string& setting) { return {"--set", setting}; }

  // 24 good records, with record `number` replaced by `other`; returns the config that reads them.
  std::string OwnRecords(int number, const std::string& other) {
    std::vector<std::string> payloads;
    for (int i = 0; i < 24; ++i) {
      payloads.push_back(data::ExampleMaker().Floats("x", {1, 2, 3, 4}).Ints("y", {i % 3}).Serialize());
    }
    if (number >= 0) payloads[number] = other;
    return ConfigFor(data::FileOf(payloads));
  }
  std::string ConfigFor(const std::string& file_bytes) {
    file_ = work_.Path(absl::StrCat("data-", ++files_, ".tfrecord"));
    std::ofstream(file_, std::ios::binary) << file_bytes;
    std::string text = kOwnData;
    text.replace(text.find("TRAIN"), 5, file_);
    return work_.WriteConfig(absl::StrCat("own-", files_), text);
  }

  const Workspace work_;
  std::string file_;  // of the last OwnRecords
  int runs_ = 0, files_ = 0;
};

TEST_F(BadInput, NamesThatDoNotExist) {
  const std::string typo = work_.WriteConfig("typo", "lanes: 8\nglobal_bach: 64\n");
  ExpectError(Alone(typo), 2, {typo, ":2:", "global_bach", "'global_batch'"});
  ExpectError(Alone(Digits(), Set("optimizer.sgd.lrr=1")), 2, {"optimizer.sgd.lrr", "'lr'"});
  ExpectError(Alone(Digits(), Set("model.name=mlpp")), 2, {"mlpp", "'mlp'"});
  ExpectError(Alone(Digits(), Set("reduction=UNORDRED")), 2, {"UNORDRED", "UNORDERED"});
  ExpectError(Alone(Digits(), Set("execution.comm.backend=smh")), 2, {"smh", "shm"});
  ExpectError(Alone(Digits(), Set("eval.metric=acuracy")), 2, {"acuracy", "accuracy"});
  ExpectError(Alone(Digits(), {"--stps", "3"}), 2, {"--stps", "'--steps'"});
}

TEST_F(BadInput, WorldsAndBatchesThatDoNotFit) {
  const Ended world = work_.Train({.config = Digits(), .out = "world", .ranks = 9});
  ExpectError(world, 2, {"9 ranks", "8 lanes", "lanes: "});
  ExpectError(Alone(Digits(), Set("global_batch=65")), 2, {"global_batch", "65", "lanes", "64"});
  ExpectError(Alone(Digits(), Set("accumulate=3")), 2, {"accumulate"});
}

TEST_F(BadInput, DataThatIsNotThere) {
  const std::string missing = work_.Path("no-such.tfrecord");
  ExpectError(Alone(Digits(), Set(absl::StrCat("data.train=", missing))), 3, {missing});
  ExpectError(Alone(Digits(), Set(absl::StrCat("data.eval=", missing))), 3, {missing});
  const std::string empty = ConfigFor("");
  ExpectError(Alone(empty), 3, {file_});
  // Ranks find it out together and say it once.
  const Ended ranks = work_.Train({.config = Digits(),
                                   .out = "ranks",
                                   .ranks = 3,
                                   .arguments = Set(absl::StrCat("data.train=", missing)),
                                   .start = StartWith::kLaunch});
  ExpectError(ranks, 3, {missing});
}

TEST_F(BadInput, FeaturesThatAreNotAsTheConfigSays) {
  struct Fault {
    int record;
    std::string bytes;
    std::vector<std::string> named;
  };
  const auto record = [] { return data::ExampleMaker(); };
  for (const Fault& fault : std::vector<Fault>{
           {5, record().Floats("z", {1, 2, 3, 4}).Ints("y", {1}).Serialize(), {"record 5", "'x'", "'z'"}},
           {0, record().Bytes("x", "abcde").Ints("y", {1}).Serialize(), {"record 0", "'x'"}},
           {7, record().Floats("x", {1, 2, 3}).Ints("y", {1}).Serialize(), {"record 7", "'x'", "3", "4"}},
           {11, record().Floats("x", {1, 2, 3, 4}).Floats("y", {1}).Serialize(), {"record 11", "'y'"}},
           {23, record().Floats("x", {1, 2, 3, 4}).Ints("y", {3}).Serialize(), {"record 23", "'y'", "3"}},
           {12, "this is no Example at all", {"record 12"}}}) {
    const std::string config = OwnRecords(fault.record, fault.bytes);
    std::vector<std::string> named = fault.named;
    named.push_back(file_);
    ExpectError(Alone(config), 3, named);
  }
  ExpectError(Alone(Digits(), Set("data.input.feature=imagge")), 3, {"'imagge'", "'image'"});
  ExpectError(Alone(OwnRecords(-1, ""), Set("model.mlp.hidden=4")), 0, {"done"});  // as it is without a fault
}

TEST_F(BadInput, ALabelOutOfRangeIsToldByAllRanks) {
  const std::string config =
      OwnRecords(17, data::ExampleMaker().Floats("x", {1, 2, 3, 4}).Ints("y", {-1}).Serialize());
  for (const StartWith start : {StartWith::kMpirun, StartWith::kLaunch}) {
    const Ended run = work_.Train({.config = config, .out = "label", .ranks = 3, .start = start});
    ExpectError(run, 3, {file_, "record 17", "'y'", "-1"});
    EXPECT_TRUE(work_.RanksEnd("label", 5));
    EXPECT_EQ(work_.ResultField("label", "status"), "\"failed\"");
    EXPECT_EQ(work_.ResultField("label", "exit_code"), "3");
    EXPECT_THAT(work_.ResultField("label", "message"), HasSubstr("record 17"));
  }
}

TEST_F(BadInput, CorruptRecordsNameFileAndOffset) {
  std::string bytes;
  for (int i = 0; i < 24; ++i) {
    bytes += data::FrameRecord(data::ExampleMaker().Floats("x", {1, 2, 3, 4}).Ints("y", {1}).Serialize());
  }
  const size_t record_bytes = bytes.size() / 24;
  ASSERT_EQ(bytes.size() % 24, 0);
  std::string payload = bytes, length = bytes;
  payload[9 * record_bytes + 20] ^= 4;
  length[9 * record_bytes + 1] ^= 4;
  for (const auto& [damaged, record] :
       {std::pair(payload, 9), {length, 9}, {bytes.substr(0, bytes.size() - 5), 23}}) {
    const std::string config = ConfigFor(damaged);
    ExpectError(Alone(config), 3, {file_, absl::StrCat("byte ", record * record_bytes)});
  }
}

TEST_F(BadInput, NumbersThatAreNotFinite) {
  const std::vector<std::string> wild = {"--set", "optimizer.sgd.lr=1e30"};
  const Ended alone = Alone(Digits(), wild);
  ExpectError(alone, 6, {"step ", "the first tensor that is not finite", "lane "});
  const Ended ranks = work_.Train(
      {.config = Digits(), .out = "wild", .ranks = 3, .arguments = wild, .start = StartWith::kLaunch});
  ExpectError(ranks, 6, {"step ", "the first tensor that is not finite"});
  EXPECT_EQ(work_.ResultField("wild", "exit_code"), "6");

  std::vector<std::string> skip = wild;
  skip.insert(skip.end(), {"--set", "numerics.on_nonfinite=SKIP", "--set", "numerics.max_skips_in_a_row=0"});
  const Ended goes_on = work_.Train({.config = Digits(), .out = "skip", .ranks = 2, .arguments = skip});
  ExpectError(goes_on, 0, {"the update of this step is left out"});
  EXPECT_EQ(work_.ResultField("skip", "steps"), "40");
  EXPECT_NE(work_.ResultField("skip", "skipped_steps"), "0");
  const std::string manifest = work_.Read("skip/checkpoints/step-00000040/manifest.textproto");
  EXPECT_THAT(manifest, ::testing::ContainsRegex("skipped_steps[^0-9]*[1-9]"));
  // A whole run of skips is as reproducible as any other.
  skip.push_back("--ledger");
  work_.Train({.config = Digits(), .out = "skip-5", .ranks = 5, .arguments = skip});
  EXPECT_EQ(work_.ResultField("skip-5", "state_sha256"), work_.ResultField("skip", "state_sha256"));
}

TEST_F(BadInput, AFullDiskStopsNoTraining) {
  const std::vector<std::string> saving = Set("execution.checkpoint.every_steps=2");
  std::vector<std::string> first = saving;
  first.insert(first.end(), {"--steps", "10", "--ledger"});
  const Command command = {
      .config = Digits(), .out = "full", .arguments = first, .start = StartWith::kNothing};
  ASSERT_EQ(work_.Train(command).code, 0);
  // Files can grow no further than 8 KiB: less than a checkpoint. A limit needs no disk to fill.
  Subprocess limited(
      {"/bin/bash", "-c",
       absl::StrCat("ulimit -f 8; exec ", ProgramPath(), " train ", command.config, " --out ",
                    work_.Path("full"), " --ledger --set execution.checkpoint.every_steps=2")});
  EXPECT_EQ(limited.Wait(), 5) << limited.Output();
  EXPECT_THAT(limited.Output(), HasSubstr("checkpoint of step 12 not saved"));
  EXPECT_THAT(limited.Output(), HasSubstr("checkpoint of step 38 not saved"));
  EXPECT_EQ(work_.ResultField("full", "status"), "\"failed\"") << limited.Output();
  Subprocess verify({ProgramPath(), "checkpoint", "verify", work_.Path("full/checkpoints/step-00000010")});
  EXPECT_EQ(verify.Wait(), 0) << verify.Output();

  Command rest = command;
  rest.arguments = {"--ledger"};
  EXPECT_EQ(work_.Train(rest).code, 0);
  rest.out = "calm";
  EXPECT_EQ(work_.Train(rest).code, 0);
  EXPECT_EQ(work_.TracesOf("full"), work_.TracesOf("calm"));
}

// mpirun starts two programs with command lines of their own as one world.
TEST_F(BadInput, RanksOfDifferentConfigsAreRefusedAtTheStart) {
  struct Case {
    std::string setting, other, named;
  };
  for (const Case& c : std::vector<Case>{
           {"seed=5", "seed=6", "seed"},
           {"model.mlp.hidden=16", "model.mlp.hidden=17", "model.mlp.hidden"},
           {"execution.comm.bucket_kib=1", "execution.comm.bucket_kib=2", "execution.comm.bucket_kib"},
           {"execution.comm.backend=tcp", "execution.comm.backend=shm", "backend"}}) {
    const std::string out = work_.Path(absl::StrCat("differ-", ++runs_));
    std::vector<std::string> words = {"/usr/bin/env", LOCKSTEP_MPIRUN, "--bind-to", "none"};
    for (const std::string& setting : {c.setting, c.other}) {
      words.insert(words.end(),
                   {"-np", "1", ProgramPath(), "train", Digits(), "--out", out, "--set", setting, ":"});
    }
    words.pop_back();
    Subprocess run(words);
    const int code = run.Wait();
    ExpectError({code, run.Output()}, 2, {"the ranks differ in", c.named});
    EXPECT_FALSE(fs::exists(out + "/metrics.jsonl"));
  }
}

// A copy of the program with another build id stands for another build.
TEST_F(BadInput, RanksOfDifferentProgramsAreRefusedAtTheStart) {
  const std::string other = work_.Path("lockstep");
  fs::copy(ProgramPath(), other);
  std::string code = work_.Read("lockstep");
  constexpr char kNote[] = "\x14\0\0\0\x03\0\0\0GNU";  // 20 bytes, NT_GNU_BUILD_ID (elf(5))
  const size_t at = code.find(std::string(kNote, sizeof kNote));
  ASSERT_NE(at, code.npos);
  code[at + sizeof kNote] ^= 1;
  std::ofstream(other, std::ios::binary) << code;
  const std::string out = work_.Path("mixed");
  std::vector<std::string> words = {"/usr/bin/env", LOCKSTEP_MPIRUN, "--bind-to", "none"};
  for (const std::string& program : {ProgramPath(), other}) {
    words.insert(words.end(), {"-np", "1", program, "train", Digits(), "--out", out, ":"});
  }
  words.pop_back();
  Subprocess run(words);
  const int ended = run.Wait();
  ExpectError({ended, run.Output()}, 2, {"the ranks differ in", "build"});
  EXPECT_FALSE(fs::exists(out + "/metrics.jsonl"));
}

}  // namespace
}  // namespace lockstep::testing
