// Every byte of a checkpoint matters: flipped, cut off or exchanged, it is noticed by verify and by a resume,
// which then takes the one before and says why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "runtime/train/checkpoint_folder.h"
#include "runtime/train/checkpoint_tools.h"
#include "tests/testing/memory_file_system.h"
#include "tests/train/save_team.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using testing::MemoryFileSystem;

constexpr size_t kHidden = 3;  // the smallest that has every kind of tensor
constexpr char kFolder[] = "run/checkpoints";

// A run with checkpoints 1 and 2, written by so many ranks.
class Damage : public ::testing::TestWithParam<int> {
 protected:
  Damage() {
    for (const int64_t step : {1, 2}) {
      const SaveOutcome outcome = SaveByTeam({&fs_}, GetParam(), SampleState(step, kHidden));
      EXPECT_TRUE(outcome.status.ok()) << outcome.status;
    }
    const auto present = fs_.List(newest_).value();
    for (const FileInfo& file : present) names_.push_back(file.name);
  }

  std::string Read(const std::string& path) { return ReadWholeFile(&fs_, path).value(); }
  void Write(const std::string& path, absl::string_view bytes) {
    ASSERT_TRUE(fs_.Create(path).value()->Append(bytes).ok());
  }
  // The reason that a resume gives for passing over checkpoint 2, having found 1; "" otherwise.
  std::string Reason() {
    const auto found = FindCheckpoint(&fs_, "run");
    if (!found.ok() || !found->checkpoint || found->checkpoint->manifest().step != 1) return "";
    return found->rejected.size() == 1 ? found->rejected[0].reason : "";
  }
  bool VerifyComplains() {
    std::ostringstream out;
    return ExitCodeOf(VerifyCheckpointsAt(&fs_, {newest_}, out)) == 5;
  }

  MemoryFileSystem fs_;
  const std::string newest_ = CheckpointPath(kFolder, 2);
  std::vector<std::string> names_;
};

TEST_P(Damage, EveryFlippedByteIsNoticed) {
  size_t flips = 0;
  for (const std::string& name : names_) {
    const std::string path = JoinPath(newest_, name), bytes = Read(path);
    for (size_t at = 0; at < bytes.size(); ++at) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
      Write(path, flipped);
      ASSERT_NE(Reason(), "") << name << " byte " << at;
      ASSERT_TRUE(VerifyComplains()) << name << " byte " << at;
      ++flips;
    }
    Write(path, bytes);
  }
  EXPECT_GT(flips, 2000u);
  EXPECT_FALSE(VerifyComplains());
}

TEST_P(Damage, EveryTruncationIsNoticed) {
  for (const std::string& name : names_) {
    const std::string path = JoinPath(newest_, name), bytes = Read(path);
    for (size_t size = 0; size < bytes.size(); ++size) {
      Write(path, absl::string_view(bytes).substr(0, size));
      ASSERT_NE(Reason(), "") << name << " cut to " << size;
      ASSERT_TRUE(VerifyComplains()) << name << " cut to " << size;
    }
    Write(path, bytes + "x");
    EXPECT_NE(Reason(), "") << name << " extended";
    Write(path, bytes);
  }
}

TEST_P(Damage, AnyFileOfAnotherStepIsNamedAsSuch) {
  for (const std::string& name : names_) {
    if (!IsTensorFileName(name)) continue;
    const std::string path = JoinPath(newest_, name), bytes = Read(path);
    Write(path, Read(JoinPath(CheckpointPath(kFolder, 1), name)));
    EXPECT_THAT(Reason(), HasSubstr(name + " is of step 1, the manifest of step 2"));
    Write(path, bytes);
  }
}

TEST_P(Damage, AnyFileMissingIsNamed) {
  for (const std::string& name : names_) {
    const std::string path = JoinPath(newest_, name), bytes = Read(path);
    ASSERT_TRUE(fs_.Delete(path).ok());
    EXPECT_THAT(Reason(), HasSubstr(name));
    Write(path, bytes);
  }
}

TEST_P(Damage, AShardOfAnotherDivisionIsRefused) {
  Write(JoinPath(newest_, "model-00007-of-00009.safetensors"), "anything");
  EXPECT_THAT(Reason(), HasSubstr("model-00007-of-00009.safetensors is not in the manifest"));
}

TEST_P(Damage, FilesOfOthersAreNoTrouble) {
  Write(JoinPath(newest_, "notes.txt"), "anything");
  EXPECT_FALSE(VerifyComplains());
}

INSTANTIATE_TEST_SUITE_P(Writers, Damage, ::testing::Values(1, 3));

// Two saves of one step that differ in their state, each whole.
TEST(Damage, AFileOfAnotherSaveOfTheSameStepIsNamedAsSuch) {
  MemoryFileSystem one, other;
  const SampleState state(2, kHidden);
  SampleState fork(2, kHidden);
  fork.manifest.counters["skipped_steps"] = int64_t{9};
  ASSERT_TRUE(SaveByTeam({&one}, 1, state).status.ok());
  ASSERT_TRUE(SaveByTeam({&other}, 1, fork).status.ok());
  const std::string path = JoinPath(CheckpointPath(kFolder, 2), kOptimizerName);
  const std::string bytes = ReadWholeFile(&other, path).value();
  ASSERT_TRUE(one.Create(path).value()->Append(bytes).ok());
  const absl::Status status = LoadCheckpoint(&one, CheckpointPath(kFolder, 2)).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("two checkpoints of one step are mixed"));
}

}  // namespace
}  // namespace lockstep::train
