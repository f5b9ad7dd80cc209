#include "runtime/train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "runtime/train/checkpoint_folder.h"
#include "runtime/train/checkpoint_writer.h"
#include "tests/testing/faulty_file_system.h"
#include "tests/testing/memory_file_system.h"
#include "tests/train/sample_state.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr size_t kBlockBytes = 64;

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    Save(1);
    Save(2);
  }

  void Save(int64_t step) {
    const SampleState state(step);
    CheckpointWriterOptions options;
    options.fs = &fs_;
    options.folder = "run/checkpoints";
    const SaveOutcome outcome = SaveCheckpoint(options, state.manifest, state.tensors, false);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  }

  std::string Read(const std::string& path) { return ReadWholeFile(&fs_, path).value(); }
  void Write(const std::string& path, absl::string_view bytes) {
    ASSERT_TRUE(fs_.Create(path).value()->Append(bytes).ok());
  }
  std::string FileOf(int64_t step, const std::string& name) {
    return JoinPath(CheckpointPath("run/checkpoints", step), name);
  }

  // The step that a resume would continue from, and -1 for an error.
  int64_t Found() {
    const auto found = FindCheckpoint(&fs_, "run");
    return found.ok() && found->checkpoint ? found->checkpoint->manifest().step : -1;
  }

  testing::MemoryFileSystem fs_;
};

TEST_F(CheckpointTest, LoadsWhatWasSaved) {
  const SampleState state(2);
  const auto loaded = LoadCheckpoint(&fs_, "run/checkpoints/step-00000002");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->manifest().weights_sha256, state.hashes().weights_sha256);
  const auto& tensors = loaded->tensors();
  EXPECT_THAT(tensors.parameters, SizeIs(2));
  EXPECT_THAT(tensors.buffers, SizeIs(1));
  EXPECT_THAT(tensors.optimizer, SizeIs(1));
  ASSERT_THAT(tensors.ema, SizeIs(1));
  EXPECT_EQ(tensors.ema[0].name, "fc.bias");
  const Manifest& manifest = loaded->manifest();
  const StateHashes hashes = HashState(tensors, manifest.step, manifest.position, manifest.counters);
  EXPECT_EQ(hashes.state_sha256, state.hashes().state_sha256);
}

// As Lockstep wrote them before saves had ids: no id in the manifest, none in the headers.
TEST_F(CheckpointTest, LoadsOnesWithoutASaveId) {
  const SampleState state(3);
  const std::string path = CheckpointPath("run/checkpoints", 3);
  ASSERT_TRUE(fs_.CreateFolders(path).ok());
  Manifest manifest = state.manifest;
  manifest.format_version = 1;
  manifest.weights_sha256 = state.hashes().weights_sha256;
  manifest.state_sha256 = state.hashes().state_sha256;
  for (const CheckpointPart& part : DivideState(state.tensors, 1)) {
    ASSERT_TRUE(WritePart(&fs_, path, part, &manifest).ok());
  }
  EXPECT_EQ(Read(FileOf(3, kModelName)).find(kSaveMetadata), std::string::npos);
  Write(FileOf(3, kManifestName), SerializeManifest(manifest));
  EXPECT_EQ(Found(), 3);
}

TEST_F(CheckpointTest, NewestIsFoundAndNothingRejected) {
  const auto found = FindCheckpoint(&fs_, "run");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->checkpoint->manifest().step, 2);
  EXPECT_THAT(found->rejected, IsEmpty());
}

TEST_F(CheckpointTest, AFreshFolderHasNone) {
  const auto found = FindCheckpoint(&fs_, "elsewhere");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->checkpoint.has_value());
}

TEST_F(CheckpointTest, TruncationAtEveryBlockFallsBack) {
  for (const char* name : {kManifestName, kModelName, kOptimizerName}) {
    const std::string path = FileOf(2, name), bytes = Read(path);
    for (size_t size = 0; size < bytes.size(); size += kBlockBytes) {
      Write(path, absl::string_view(bytes).substr(0, size));
      EXPECT_EQ(Found(), 1) << name << " cut to " << size;
    }
    Write(path, bytes + std::string(1, '\0'));
    EXPECT_EQ(Found(), 1) << name << " extended";
    Write(path, bytes);
    EXPECT_EQ(Found(), 2);
  }
}

TEST_F(CheckpointTest, AFlippedBitInEveryBlockFallsBack) {
  for (const char* name : {kManifestName, kModelName, kOptimizerName}) {
    const std::string path = FileOf(2, name), bytes = Read(path);
    for (size_t block = 0; block < bytes.size(); block += kBlockBytes) {
      const size_t at = block + block / kBlockBytes * 7 % std::min(kBlockBytes, bytes.size() - block);
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
      Write(path, flipped);
      EXPECT_EQ(Found(), 1) << name << " byte " << at;
    }
    Write(path, bytes);
  }
}

TEST_F(CheckpointTest, ABlockOfZerosFallsBack) {
  for (const char* name : {kManifestName, kModelName, kOptimizerName}) {
    const std::string path = FileOf(2, name), bytes = Read(path);
    for (size_t block = 0; block < bytes.size(); block += kBlockBytes) {
      std::string zeroed = bytes;
      const size_t length = std::min(kBlockBytes, bytes.size() - block);
      std::memset(&zeroed[block], 0, length);
      if (zeroed == bytes) continue;
      Write(path, zeroed);
      EXPECT_EQ(Found(), 1) << name << " block at " << block;
    }
    Write(path, bytes);
  }
}

TEST_F(CheckpointTest, AFileOfAnotherStepFallsBack) {
  Write(FileOf(2, kOptimizerName), Read(FileOf(1, kOptimizerName)));
  EXPECT_EQ(Found(), 1);
}

TEST_F(CheckpointTest, AMissingFileFallsBackAndIsNamed) {
  for (const char* name : {kManifestName, kModelName, kOptimizerName}) {
    const std::string bytes = Read(FileOf(2, name));
    ASSERT_TRUE(fs_.Delete(FileOf(2, name)).ok());
    const auto found = FindCheckpoint(&fs_, "run");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->checkpoint->manifest().step, 1);
    ASSERT_THAT(found->rejected, SizeIs(1));
    EXPECT_THAT(found->rejected[0].reason, HasSubstr(name));
    Write(FileOf(2, name), bytes);
  }
}

TEST_F(CheckpointTest, AFolderUnderAWrongNameFallsBack) {
  ASSERT_TRUE(fs_.Rename("run/checkpoints/step-00000002", "run/checkpoints/step-00000009").ok());
  EXPECT_EQ(Found(), 1);
}

TEST_F(CheckpointTest, RejectedOnesAreListedWithTheReason) {
  const std::string path = FileOf(2, kModelName);
  std::string bytes = Read(path);
  bytes.back() ^= 1;
  Write(path, bytes);
  const auto found = FindCheckpoint(&fs_, "run");
  ASSERT_TRUE(found.ok());
  ASSERT_THAT(found->rejected, SizeIs(1));
  EXPECT_EQ(found->rejected[0].path, "run/checkpoints/step-00000002");
  EXPECT_THAT(found->rejected[0].reason,
              HasSubstr("model.safetensors: tensor 'norm.running_mean' is damaged"));
}

TEST_F(CheckpointTest, WhenNoneLoadsItIsAnErrorThatListsAll) {
  for (const int64_t step : {1, 2}) ASSERT_TRUE(fs_.Delete(FileOf(step, kModelName)).ok());
  const absl::Status status = FindCheckpoint(&fs_, "run").status();
  EXPECT_EQ(ExitCodeOf(status), 5);
  EXPECT_THAT(std::string(status.message()), HasSubstr("step-00000001"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("step-00000002"));
}

TEST_F(CheckpointTest, ANewerFormatIsNoReasonToFallBack) {
  Manifest manifest = ParseManifest(Read(FileOf(2, kManifestName)), "m").value();
  manifest.format_version = kCheckpointFormatVersion + 1;
  Write(FileOf(2, kManifestName), SerializeManifest(manifest));
  EXPECT_TRUE(IsNewerFormat(FindCheckpoint(&fs_, "run").status()));
}

TEST_F(CheckpointTest, EveryFailingReadFallsBackOrIsAnError) {
  testing::FaultyFileSystem faulty(&fs_);
  ASSERT_TRUE(FindCheckpoint(&faulty, "run").ok());
  const int64_t calls = faulty.calls();
  for (int64_t n = 1; n <= calls; ++n) {
    faulty.Heal();
    faulty.FailAt(n, absl::UnavailableError("input/output error"), testing::FaultyFileSystem::Kind::kOnce);
    const auto found = FindCheckpoint(&faulty, "run");
    EXPECT_TRUE(!found.ok() || found->checkpoint->manifest().step == 1) << "call " << n;
  }
}

TEST_F(CheckpointTest, ResolveTakesACheckpointOrARunFolder) {
  EXPECT_EQ(ResolveCheckpoint(&fs_, "run/checkpoints/step-00000001")->checkpoint->manifest().step, 1);
  EXPECT_EQ(ResolveCheckpoint(&fs_, "run")->checkpoint->manifest().step, 2);
  EXPECT_THAT(std::string(ResolveCheckpoint(&fs_, "nowhere").status().message()),
              HasSubstr("nowhere is neither"));
}

TEST(CopyByName, NamesWhatIsMissingSurplusAndDiffers) {
  const float values[4] = {1, 2, 3, 4};
  float into[4] = {};
  const std::vector<NamedTensor> from = {
      {"a", DType::kF32, {4}, values}, {"c", DType::kF32, {4}, values}, {"d", DType::kF32, {2, 2}, values}};
  const std::vector<NamedBuffer> to = {
      {"a", DType::kF32, {4}, into}, {"b", DType::kF32, {4}, into}, {"d", DType::kF32, {4}, into}};
  const std::string message(CopyByName("checkpoint x", from, to).message());
  EXPECT_THAT(message, HasSubstr("Missing: b."));
  EXPECT_THAT(message, HasSubstr("Not in the model: c."));
  EXPECT_THAT(message, HasSubstr("d is F32 [2, 2], not F32 [4]"));
  EXPECT_EQ(into[0], 0) << "nothing may be written when something does not fit";
  ASSERT_TRUE(CopyByName("x", {from[0]}, {to[0]}).ok());
  EXPECT_EQ(into[3], 4);
}

}  // namespace
}  // namespace lockstep::train
