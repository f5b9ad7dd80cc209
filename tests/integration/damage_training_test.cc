// Training on records that are damaged, through the real program: what the policy says, the same in any
// world and after any resume, counted, named and capped.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kConfig[] = R"(
model { name: "mlp" mlp { hidden: [16] } }
data {
  train: "FOLDER/digits-train*.tfrecord" eval: "FOLDER/digits-test*.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 }
  damaged { policy: MASK } }
optimizer { sgd { lr: 0.1 } }
lanes: 4 global_batch: 48 epochs: 2 seed: 1
eval { every_epochs: 1 }
execution { threads: 1 checkpoint { every_steps: 5 } }
)";
constexpr size_t kRecordBytes = 113;  // of each shipped digit

class DamageTraining : public ::testing::Test {
 protected:
  DamageTraining() {
    fs::create_directory(Folder());
    for (const auto& entry : fs::directory_iterator(LOCKSTEP_SOURCE_DIR "/examples/data")) {
      const std::string name = entry.path().filename().string();
      if (absl::StartsWith(name, "digits")) fs::copy(entry.path(), Folder() + "/" + name);
    }
    config_ = work_.WriteConfig("damaged", absl::StrReplaceAll(kConfig, {{"FOLDER", Folder()}}));
  }
  std::string Folder() const { return work_.Path("records"); }
  // Flips a bit in the payload of a record.
  void Damage(const std::string& file, int64_t record) const {
    std::fstream bytes(Folder() + "/" + file, std::ios::in | std::ios::out | std::ios::binary);
    const auto at = static_cast<std::streamoff>(record * kRecordBytes + 40);
    bytes.seekg(at);
    const char byte = static_cast<char>(bytes.get() ^ 16);
    bytes.seekp(at);
    bytes.put(byte);
  }
  static std::string Train(int part) { return absl::StrCat("digits-train-0000", part, "-of-00002.tfrecord"); }

  const Workspace work_;
  std::string config_;
};

TEST_F(DamageTraining, TheRunEndsUnlessToldOtherwise) {
  Damage(Train(0), 100);
  const Ended run = work_.Train({.config = config_,
                                 .out = "fail",
                                 .ranks = 2,
                                 .arguments = {"--set", "data.damaged.policy=FAIL"},
                                 .start = StartWith::kLaunch});
  EXPECT_EQ(run.code, 3) << run.output;
  EXPECT_THAT(run.output,
              AllOf(HasSubstr(Train(0)), HasSubstr("byte 11300, record 100"), HasSubstr("checksum stored")));
}

TEST_F(DamageTraining, EitherPolicyDoesTheSameInAnyWorldAndAfterAnyResume) {
  Damage(Train(0), 100);
  Damage(Train(0), 0);
  Damage(Train(1), 17);
  Damage("digits-test-00000-of-00001.tfrecord", 30);
  for (const std::string policy : {"MASK", "SUBSTITUTE"}) {
    const std::vector<std::string> settings = {"data.damaged.policy=" + policy};
    const Traces alone = work_.TrainedTraces(config_, policy + "alone", 1, settings);
    EXPECT_EQ(work_.TrainedTraces(config_, policy + "three", 3, settings), alone);
    // Two epochs pass over three damaged records.
    EXPECT_EQ(work_.ResultField(policy + "alone", "damaged_records"), "6");
    EXPECT_THAT(alone.ledger,
                AllOf(HasSubstr("\"damaged\": [{\"position\": "), HasSubstr("\"id\": 100, "),
                      HasSubstr("\"id\": 736, "), HasSubstr("\"record\": 17, \"part\": \"payload\"")));
    EXPECT_EQ(absl::StrContains(alone.ledger, "\"instead\": null"), policy == "MASK");
    EXPECT_THAT(work_.Read(policy + "alone/metrics.jsonl"),
                AllOf(HasSubstr("\"damaged\": 1"), HasSubstr("\"damaged_records\": 1")));
    for (const auto& [ranks, steps] : std::vector<std::pair<int, int>>{{2, 20}, {4, 41}, {1, 1000}}) {
      const Ended run = work_.Train({.config = config_,
                                     .out = policy + "cut",
                                     .ranks = ranks,
                                     .arguments = {"--ledger", "--steps", absl::StrCat(steps), "--set",
                                                   "data.damaged.policy=" + policy},
                                     .start = StartWith::kLaunch});
      ASSERT_EQ(run.code, 0) << run.output;
    }
    EXPECT_EQ(work_.ResultField(policy + "cut", "damaged_records"), "6");
    EXPECT_EQ(work_.TracesOf(policy + "cut").state_sha256, alone.state_sha256);
    EXPECT_EQ(work_.TracesOf(policy + "cut").ledger, alone.ledger);
  }
}

TEST_F(DamageTraining, TooManyEndTheRun) {
  for (int64_t record = 0; record < 20; ++record) Damage(Train(0), 30 * record);
  for (const int ranks : {1, 3}) {
    const std::string out = absl::StrCat("capped", ranks);
    const Ended run = work_.Train({.config = config_,
                                   .out = out,
                                   .ranks = ranks,
                                   .arguments = {"--set", "data.damaged.most=12"},
                                   .start = StartWith::kLaunch});
    EXPECT_EQ(run.code, 3) << run.output;
    EXPECT_THAT(run.output, AllOf(HasSubstr("damaged records so far"), HasSubstr("data.damaged.most is 12"),
                                  HasSubstr("\"stored\": \"")));
    EXPECT_EQ(work_.ResultField(out, "exit_code"), "3");
  }
}

}  // namespace
}  // namespace lockstep::testing
