#include "runtime/train/checkpoint_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "runtime/train/checkpoint_folder.h"
#include "tests/testing/faulty_file_system.h"
#include "tests/testing/memory_file_system.h"
#include "tests/train/sample_state.h"

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;
using testing::FaultyFileSystem;
using ::testing::HasSubstr;
using testing::MemoryFileSystem;

constexpr char kFolder[] = "run/checkpoints";

CheckpointWriterOptions Options(FileSystem* fs, int keep_last = 3) {
  CheckpointWriterOptions options;
  options.fs = fs;
  options.folder = kFolder;
  options.keep_last = keep_last;
  return options;
}

SaveOutcome Save(FileSystem* fs, int64_t step, bool best = false, int keep_last = 3) {
  const SampleState state(step);
  return SaveCheckpoint(Options(fs, keep_last), state.manifest, state.tensors, best);
}

std::vector<int64_t> Steps(FileSystem* fs) { return ListCheckpoints(fs, kFolder).value(); }

std::vector<std::string> Names(FileSystem* fs) {
  std::vector<std::string> names;
  const auto files = fs->List(kFolder).value();
  for (const FileInfo& file : files) names.push_back(file.name);
  return names;
}

// The step found after a restart; the state must be that step's, to the last bit. -1: none; -2: an error.
int64_t FoundStep(FileSystem* fs) {
  const auto found = FindCheckpoint(fs, "run");
  if (!found.ok()) return -2;
  if (!found->checkpoint) return -1;
  const Manifest& manifest = found->checkpoint->manifest();
  const SampleState state(manifest.step);
  EXPECT_EQ(HashState(found->checkpoint->tensors(), manifest.step, manifest.position, manifest.counters)
                .state_sha256,
            state.hashes().state_sha256);
  return manifest.step;
}

TEST(CheckpointWriter, SavesInTheBackgroundWhatWasTrueWhenCalled) {
  MemoryFileSystem fs;
  std::vector<int64_t> done;
  auto options = Options(&fs);
  options.on_done = [&](const SaveOutcome& outcome) { done.push_back(outcome.step); };
  {
    CheckpointWriter writer(options);
    EXPECT_EQ(writer.Wait().step, -1);
    float weight = 1;
    Manifest manifest;
    manifest.step = 5;
    TrainTensors tensors;
    tensors.parameters = {{"w", DType::kF32, {}, &weight}};
    ASSERT_TRUE(writer.Save(manifest, tensors).ok());
    weight = 2;  // training goes on
    manifest.step = 6;
    ASSERT_TRUE(writer.Save(manifest, tensors).ok());
    const SaveOutcome outcome = writer.Wait();
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.step, 6);
    EXPECT_FALSE(writer.busy());
  }
  EXPECT_THAT(done, ElementsAre(5, 6));
  const auto first = LoadCheckpoint(&fs, CheckpointPath(kFolder, 5));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*static_cast<const float*>(first->tensors().parameters[0].data), 1);
}

TEST(CheckpointWriter, DestructionDrains) {
  MemoryFileSystem fs;
  const SampleState state(3);
  {
    CheckpointWriter writer(Options(&fs));
    ASSERT_TRUE(writer.Save(state.manifest, state.tensors).ok());
  }
  EXPECT_EQ(FoundStep(&fs), 3);
}

TEST(CheckpointWriter, NamesThatOccurTwiceAreRefusedAtOnce) {
  MemoryFileSystem fs;
  SampleState state(3);
  CheckpointWriter writer(Options(&fs));
  state.tensors.buffers.push_back(state.tensors.parameters[0]);
  EXPECT_THAT(std::string(writer.Save(state.manifest, state.tensors).message()), HasSubstr("'fc.weight'"));
}

TEST(CheckpointWriter, KeepsTheLastAndTheBest) {
  MemoryFileSystem fs;
  for (int64_t step = 1; step <= 6; ++step) ASSERT_TRUE(Save(&fs, step, step == 2, 2).after_commit.ok());
  EXPECT_THAT(Steps(&fs), ElementsAre(2, 5, 6));
  EXPECT_EQ(ReadBest(&fs, kFolder).value(), 2);
  ASSERT_TRUE(Save(&fs, 7, true, 2).after_commit.ok());
  EXPECT_THAT(Steps(&fs), ElementsAre(6, 7));
  EXPECT_THAT(Names(&fs), ElementsAre("best", "step-00000006", "step-00000007"));
}

TEST(CheckpointWriter, PruningTouchesNothingOfOthers) {
  MemoryFileSystem fs;
  ASSERT_TRUE(Save(&fs, 1).status.ok());
  for (const char* name : {"step-1", "step-00000001-copy", ".tmp-mine", "notes"}) {
    ASSERT_TRUE(fs.CreateFolders(JoinPath(kFolder, name)).ok());
  }
  ASSERT_TRUE(fs.Create(JoinPath(CheckpointPath(kFolder, 1), "notes.txt")).ok());
  for (int64_t step = 2; step <= 4; ++step) ASSERT_TRUE(Save(&fs, step, false, 1).after_commit.ok());
  // The folder with a file of the user's own lost its checkpoint but not that file.
  EXPECT_THAT(Names(&fs), ElementsAre(".tmp-mine", ".tmp-step-00000001", "notes", "step-00000001-copy",
                                      "step-00000004", "step-1"));
  EXPECT_TRUE(fs.Exists(JoinPath(TemporaryPath(kFolder, 1), "notes.txt")));
}

TEST(CheckpointWriter, SavingTheSameStateAgainWritesNothing) {
  MemoryFileSystem memory;
  FaultyFileSystem fs(&memory);
  ASSERT_TRUE(Save(&fs, 1).status.ok());
  fs.Heal();
  ASSERT_TRUE(Save(&fs, 1).status.ok());
  for (const std::string& operation : fs.operations())
    EXPECT_EQ(operation.find("create "), std::string::npos) << operation;
}

TEST(CheckpointWriter, ADamagedCheckpointOfTheSameStepIsReplaced) {
  MemoryFileSystem fs;
  ASSERT_TRUE(Save(&fs, 1).status.ok());
  ASSERT_TRUE(fs.Truncate(JoinPath(CheckpointPath(kFolder, 1), kModelName), 10).ok());
  ASSERT_TRUE(Save(&fs, 1).status.ok());
  EXPECT_EQ(FoundStep(&fs), 1);
  EXPECT_THAT(Names(&fs), ElementsAre("step-00000001"));
}

TEST(CheckpointWriter, AFailedSaveKeepsTheHashesAndTheReason) {
  MemoryFileSystem memory;
  FaultyFileSystem fs(&memory);
  fs.FailAt(8, absl::ResourceExhaustedError("no space left on device"), FaultyFileSystem::Kind::kFromThenOn);
  const SaveOutcome outcome = Save(&fs, 1);
  EXPECT_EQ(ExitCodeOf(outcome.status), 5);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("no space left"));
  EXPECT_EQ(outcome.hashes.weights_sha256, SampleState(1).hashes().weights_sha256);
}

TEST(CheckpointWriter, WhatMustBeDurableFirstIsDurableBeforeTheCommit) {
  MemoryFileSystem memory;
  FaultyFileSystem fs(&memory);
  auto options = Options(&fs);
  int64_t renames_before = -1;
  const auto renames = [&] {
    int64_t count = 0;
    for (const std::string& operation : fs.operations()) count += operation.rfind("rename", 0) == 0;
    return count;
  };
  options.before_commit = [&](int64_t step) {
    EXPECT_EQ(step, 1);
    renames_before = renames();
    return absl::UnavailableError("the ledger cannot be synced");
  };
  const SampleState state(1);
  const SaveOutcome outcome = SaveCheckpoint(options, state.manifest, state.tensors, false);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("ledger"));
  EXPECT_EQ(renames_before, 0);
  EXPECT_EQ(FoundStep(&memory), -1);
}

class EveryCall : public ::testing::TestWithParam<FaultyFileSystem::Kind> {};

TEST_P(EveryCall, OfASaveMayFailAndAnOlderOrTheNewCheckpointLoads) {
  int64_t calls = 1;
  for (int64_t n = 1; n <= calls; ++n) {
    MemoryFileSystem memory;
    ASSERT_TRUE(Save(&memory, 1, true, 1).status.ok());
    FaultyFileSystem fs(&memory);
    if (n == 1) {
      MemoryFileSystem spare;
      FaultyFileSystem counter(&spare);
      ASSERT_TRUE(Save(&spare, 1, true, 1).status.ok());
      ASSERT_TRUE(Save(&counter, 2, true, 1).after_commit.ok());
      calls = counter.calls();
    }
    fs.FailAt(n, absl::ResourceExhaustedError("no space left on device"), GetParam());
    const SaveOutcome outcome = Save(&fs, 2, true, 1);
    const std::string at = absl::StrCat("call ", n, ": ", fs.operations()[static_cast<size_t>(n - 1)]);
    const int64_t found = FoundStep(&memory);
    if (outcome.status.ok()) {
      EXPECT_EQ(found, 2) << at;
    } else {
      // 2 is possible where the rename had happened and only making it durable failed.
      EXPECT_TRUE(found == 1 || found == 2) << at << " found " << found;
    }
    // The disk works again: the next save succeeds and leaves nothing behind.
    const SaveOutcome next = Save(&memory, 3, true, 1);
    EXPECT_TRUE(next.status.ok() && next.after_commit.ok()) << at << ": " << next.status << next.after_commit;
    EXPECT_THAT(Names(&memory), ElementsAre("best", "step-00000003")) << at;
  }
  EXPECT_GT(calls, 20);
}

INSTANTIATE_TEST_SUITE_P(Faults, EveryCall,
                         ::testing::Values(FaultyFileSystem::Kind::kOnce,
                                           FaultyFileSystem::Kind::kFromThenOn));

// The power fails before call n of a save, for every n, and what was not synced survives in every mixture
// that the seeds give. What was committed before, or the new one, must be found, and the run must be able to
// go on.
TEST(PowerCut, AtEveryOperationOfASaveTheNewestCommittedOrTheOneBeforeLoads) {
  MemoryFileSystem spare;
  ASSERT_TRUE(Save(&spare, 1, true, 1).status.ok());
  FaultyFileSystem counter(&spare);
  ASSERT_TRUE(Save(&counter, 2, true, 1).after_commit.ok());
  const int64_t calls = counter.calls();
  int64_t new_ones = 0;
  for (int64_t n = 1; n <= calls + 1; ++n) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      MemoryFileSystem before;
      ASSERT_TRUE(before.CreateFolders("run").ok());
      ASSERT_TRUE(before.SyncFolder("").ok());
      ASSERT_TRUE(Save(&before, 1, true, 1).status.ok());
      FaultyFileSystem dying(&before);
      dying.FailAt(n, absl::UnavailableError("no power"), FaultyFileSystem::Kind::kFromThenOn);
      const SaveOutcome outcome = Save(&dying, 2, true, 1);
      const auto after = before.CutPower(seed);
      const std::string at = absl::StrCat("before call ", n, ", seed ", seed);
      ASSERT_TRUE(RemoveLeftovers(after.get(), kFolder).ok()) << at;
      const int64_t found = FoundStep(after.get());
      new_ones += found == 2;
      if (outcome.status.ok()) {
        EXPECT_EQ(found, 2) << at;
      } else {
        EXPECT_TRUE(found == 1 || found == 2) << at << " found " << found;
      }
      const SaveOutcome next = Save(after.get(), 3, true, 1);
      EXPECT_TRUE(next.status.ok() && next.after_commit.ok())
          << at << ": " << next.status << next.after_commit;
      EXPECT_THAT(Names(after.get()), ElementsAre("best", "step-00000003")) << at;
    }
  }
  EXPECT_GT(new_ones, 0);
}

// The same while a damaged checkpoint of the same step is replaced.
TEST(PowerCut, WhileACheckpointIsReplacedTheOneBeforeStays) {
  for (int64_t n = 1; n < 60; ++n) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      MemoryFileSystem before;
      ASSERT_TRUE(before.CreateFolders("run").ok());
      ASSERT_TRUE(before.SyncFolder("").ok());
      ASSERT_TRUE(Save(&before, 1).status.ok());
      ASSERT_TRUE(Save(&before, 2).status.ok());
      const std::string model = JoinPath(CheckpointPath(kFolder, 2), kModelName);
      ASSERT_TRUE(before.Truncate(model, 10).ok());
      ASSERT_TRUE(before.OpenForAppend(model).value()->Sync().ok());
      FaultyFileSystem dying(&before);
      dying.FailAt(n, absl::UnavailableError("no power"), FaultyFileSystem::Kind::kFromThenOn);
      const SaveOutcome outcome = Save(&dying, 2);
      const auto after = before.CutPower(seed);
      ASSERT_TRUE(RemoveLeftovers(after.get(), kFolder).ok());
      const int64_t found = FoundStep(after.get());
      EXPECT_TRUE(found == 2 || (found == 1 && !outcome.status.ok())) << n << ", " << seed << ": " << found;
    }
  }
}

// A kill at call n, where the page cache survives, and a power cut at call m of the restarted run's cleaning
// up.
TEST(PowerCut, WhileCleaningUpAfterAKillTheOneBeforeStays) {
  for (int64_t n = 1; n < 40; ++n) {
    for (int64_t m = 1; m < 12; ++m) {
      MemoryFileSystem disk;
      ASSERT_TRUE(disk.CreateFolders("run").ok());
      ASSERT_TRUE(disk.SyncFolder("").ok());
      ASSERT_TRUE(Save(&disk, 2).status.ok());
      FaultyFileSystem dying(&disk);
      dying.FailAt(n, absl::UnavailableError("killed"), FaultyFileSystem::Kind::kFromThenOn);
      SampleState other(2);  // another state of the same step: the old one is replaced
      other.manifest.counters["skipped_steps"] = int64_t{4};
      (void)SaveCheckpoint(Options(&dying), other.manifest, other.tensors, false);
      FaultyFileSystem dying_again(&disk);
      dying_again.FailAt(m, absl::UnavailableError("no power"), FaultyFileSystem::Kind::kFromThenOn);
      (void)RemoveLeftovers(&dying_again, kFolder);
      for (uint64_t seed = 0; seed < 10; ++seed) {
        const auto after = disk.CutPower(seed);
        ASSERT_TRUE(RemoveLeftovers(after.get(), kFolder).ok());
        const auto found = FindCheckpoint(after.get(), "run");
        EXPECT_TRUE(found.ok() && found->checkpoint.has_value()) << n << ", " << m << ", " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::train
