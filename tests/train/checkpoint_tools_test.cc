#include "runtime/train/checkpoint_tools.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <sstream>

#include "runtime/train/checkpoint_folder.h"
#include "runtime/train/checkpoint_writer.h"
#include "runtime/train/tensor_diff.h"
#include "tests/testing/memory_file_system.h"
#include "tests/train/sample_state.h"

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CheckpointToolsTest : public ::testing::Test {
 protected:
  CheckpointToolsTest() {
    for (const int64_t step : {1, 2}) {
      SampleState state(step);
      if (step == 2) state.manifest.recipe_text = "lanes: 16\nseed: 1\n";
      CheckpointWriterOptions options;
      options.fs = &fs_;
      options.folder = "run/checkpoints";
      EXPECT_TRUE(SaveCheckpoint(options, state.manifest, state.tensors, step == 1).status.ok());
    }
  }
  testing::MemoryFileSystem fs_;
  std::ostringstream out_;
};

TEST_F(CheckpointToolsTest, ListsWithTheBestMarked) {
  ASSERT_TRUE(ListCheckpointsAt(&fs_, {"run"}, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("run/checkpoints/step-00000001  best\n"));
  EXPECT_THAT(out_.str(), HasSubstr("0.333333  run/checkpoints/step-00000002\n"));
}

TEST_F(CheckpointToolsTest, ADamagedManifestIsListedAsSuch) {
  ASSERT_TRUE(fs_.Truncate("run/checkpoints/step-00000002/manifest.textproto", 100).ok());
  ASSERT_TRUE(ListCheckpointsAt(&fs_, {"run/checkpoints"}, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("step-00000002  damaged"));
}

TEST_F(CheckpointToolsTest, AFolderWithoutItsManifestIsListedAndDamaged) {
  ASSERT_TRUE(fs_.Delete("run/checkpoints/step-00000002/manifest.textproto").ok());
  ASSERT_TRUE(ListCheckpointsAt(&fs_, {"run"}, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("step-00000002  damaged"));
  EXPECT_EQ(ExitCodeOf(VerifyCheckpointsAt(&fs_, {"run"}, out_)), 5);
}

TEST_F(CheckpointToolsTest, VerifyPassesWhatIsWhole) {
  EXPECT_TRUE(VerifyCheckpointsAt(&fs_, {"run", "run/checkpoints/best"}, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr(SampleState(2).hashes().weights_sha256));
}

TEST_F(CheckpointToolsTest, VerifyNamesWhatIsDamaged) {
  const std::string path = "run/checkpoints/step-00000001/optimizer.safetensors";
  std::string bytes = ReadWholeFile(&fs_, path).value();
  bytes.back() ^= 1;
  ASSERT_TRUE(fs_.Create(path).value()->Append(bytes).ok());
  const absl::Status status = VerifyCheckpointsAt(&fs_, {"run"}, out_);
  EXPECT_EQ(ExitCodeOf(status), 5);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1 of 2"));
  EXPECT_THAT(out_.str(), HasSubstr("optimizer.safetensors: tensor 'ema.fc.bias' is damaged"));
}

TEST_F(CheckpointToolsTest, VerifyChecksTheHashesToo) {
  const std::string path = "run/checkpoints/step-00000002/manifest.textproto";
  Manifest manifest = ParseManifest(ReadWholeFile(&fs_, path).value(), "m").value();
  manifest.counters["skipped_steps"] = int64_t{4};
  ASSERT_TRUE(fs_.Create(path).value()->Append(SerializeManifest(manifest)).ok());
  EXPECT_FALSE(VerifyCheckpointsAt(&fs_, {"run"}, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("DAMAGED: state_sha256"));
}

TEST_F(CheckpointToolsTest, DiffShowsRecipeTensorsAndHashes) {
  ASSERT_TRUE(DiffCheckpointsAt(&fs_, "run/checkpoints/best", "run", out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("  step: 1 -> 2\n"));
  EXPECT_THAT(out_.str(), HasSubstr("  recipe lanes: 8 -> 16\n"));
  EXPECT_THAT(out_.str(), HasSubstr("  parameter fc.weight: 600 of 600 elements differ, by up to 1\n"));
  EXPECT_THAT(out_.str(), Not(HasSubstr("seed")));
}

TEST_F(CheckpointToolsTest, DiffOfTheSameSaysSo) {
  ASSERT_TRUE(DiffCheckpointsAt(&fs_, "run", "run", out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("the same state"));
}

TEST_F(CheckpointToolsTest, ExportsParametersAveragesAndBuffers) {
  const auto names = [&](ExportOptions options) {
    options.file = "out.safetensors";
    EXPECT_TRUE(ExportCheckpoint(&fs_, "run", options, out_).ok());
    const auto file = SafetensorsFile::Open(&fs_, "out.safetensors", SafetensorsFile::Access::kRead).value();
    std::vector<std::string> found;
    for (const NamedTensor& tensor : file.view().tensors) found.push_back(tensor.name);
    return found;
  };
  EXPECT_THAT(names({}), ElementsAre("fc.bias", "fc.weight"));
  EXPECT_THAT(names({.file = "", .ema = true}), ElementsAre("fc.bias"));
  EXPECT_THAT(names({.file = "", .buffers = true}), ElementsAre("fc.bias", "fc.weight", "norm.running_mean"));
  EXPECT_FALSE(fs_.Exists("out.safetensors.tmp"));
}

TEST_F(CheckpointToolsTest, AFolderWithoutCheckpointsIsNamed) {
  EXPECT_THAT(std::string(ListCheckpointsAt(&fs_, {"nowhere"}, out_).message()),
              HasSubstr("nowhere holds no checkpoint"));
}

TEST(TensorDiff, ReadsEveryType) {
  const uint16_t halves[] = {0x3c00, 0x0001}, others[] = {0x4000, 0x0000};  // 1 -> 2, 2^-24 -> 0
  const uint16_t bf16[] = {0x3f80}, bf16_other[] = {0x4080};                // 1 -> 4
  const int64_t i64[] = {-5}, i64_other[] = {5};
  const float zero[] = {0.0f}, negative[] = {-0.0f};
  const std::vector<NamedTensor> a = {{"bf16", DType::kBF16, {1}, bf16}, {"f16", DType::kF16, {2}, halves},
                                      {"gone", DType::kF32, {1}, zero},  {"i64", DType::kI64, {1}, i64},
                                      {"same", DType::kF32, {1}, zero},  {"zero", DType::kF32, {1}, zero}};
  const std::vector<NamedTensor> b = {
      {"bf16", DType::kBF16, {1}, bf16_other}, {"f16", DType::kF16, {2}, others},
      {"i64", DType::kI64, {1}, i64_other},    {"new", DType::kF32, {1}, zero},
      {"same", DType::kF32, {1}, zero},        {"zero", DType::kF32, {1}, negative}};
  EXPECT_THAT(
      TensorDiff(a, b),
      ElementsAre("bf16: 1 of 1 elements differ, by up to 3", "f16: 2 of 2 elements differ, by up to 1",
                  "gone: only in the first", "i64: 1 of 1 elements differ, by up to 10",
                  "new: only in the second", "zero: 1 of 1 elements differ, by up to 0"));
  EXPECT_THAT(TensorDiff(a, a), IsEmpty());
}

}  // namespace
}  // namespace lockstep::train
