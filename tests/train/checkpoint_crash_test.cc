// Power cuts: a save is recorded, and every disk that a cut may leave behind at every moment of it is looked
// at. LOCKSTEP_CRASH_STATES: the most states of one moment that are tried (default 20000; the long test: more).
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "runtime/train/checkpoint_folder.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/recording_file_system.h"
#include "tests/train/save_team.h"

namespace lockstep::train {
namespace {

using testing::DiskOperation;
using testing::MemoryFileSystem;
using testing::RecordingFileSystem;
using Kind = DiskOperation::Kind;

constexpr char kFolder[] = "run/checkpoints";
constexpr size_t kHidden = 24;      // a model file of a few blocks
constexpr size_t kBlockBytes = 64;  // torn and lost in such pieces

size_t StatesOfAMoment() {
  const char* given = std::getenv("LOCKSTEP_CRASH_STATES");
  return given == nullptr ? 20000 : static_cast<size_t>(std::atoll(given));
}

std::unique_ptr<MemoryFileSystem> Disk(const std::vector<int64_t>& steps) {
  auto disk = std::make_unique<MemoryFileSystem>();
  EXPECT_TRUE(disk->CreateFolders("run").ok());
  for (const int64_t step : steps) {
    const SampleState state(step, kHidden);
    const SaveOutcome outcome = SaveByTeam({disk.get()}, 1, state, 10, step == 1);
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  }
  return disk->CutPower(1);  // the same, all of it durable
}

// The step that a restart finds, its state compared to the last bit; -1: none, -2: an error.
int64_t Restart(FileSystem* fs, const std::string& at) {
  const absl::Status cleaned = RemoveLeftovers(fs, kFolder);
  EXPECT_TRUE(cleaned.ok()) << at << ": " << cleaned;
  const auto found = FindCheckpoint(fs, "run");
  EXPECT_TRUE(found.ok()) << at << ": " << found.status();
  if (!found.ok()) return -2;
  if (!found->checkpoint) return -1;
  const Manifest& manifest = found->checkpoint->manifest();
  const SampleState state(manifest.step, kHidden);
  EXPECT_EQ(HashState(found->checkpoint->tensors(), manifest.step, manifest.position, manifest.counters)
                .state_sha256,
            state.hashes().state_sha256)
      << at;
  return manifest.step;
}

// What is left beside checkpoints and `best` once a restart has cleaned up.
void ExpectNoLeftovers(FileSystem* fs, const std::string& at) {
  const auto files = fs->List(kFolder);
  if (!files.ok()) return;
  for (const FileInfo& file : *files) {
    EXPECT_TRUE(file.name == "best" || StepOfName(file.name).has_value()) << at << ": " << file.name;
  }
}

struct Tally {
  std::map<std::string, int64_t> states;  // distinct ones over all moments, and the step that they lead to
  int64_t tried = 0, previous = 0, fresh = 0;
  int sampled_moments = 0;  // that had more states than were tried
};

// Tries every moment of `operations`, done to a copy of `before`. `previous` and `fresh`: the newest steps
// before and after; `commit`: the rename that makes the new one visible, if it does.
Tally TryAll(const MemoryFileSystem& before, const std::vector<DiskOperation>& operations, int64_t previous,
             int64_t fresh, size_t most = StatesOfAMoment()) {
  size_t renamed = operations.size(), durable = operations.size();
  for (size_t i = 0; i < operations.size(); ++i) {
    const bool commits =
        operations[i].kind == Kind::kRename && operations[i].text == CheckpointPath(kFolder, fresh);
    if (commits) renamed = i;
    if (renamed < i && durable == operations.size() && operations[i].kind == Kind::kSyncFolder) durable = i;
  }
  EXPECT_LT(durable, operations.size());
  Tally tally;
  for (size_t moment = 0; moment <= operations.size(); ++moment) {
    const auto disk = before.CutPower(1);
    EXPECT_TRUE(testing::Replay(operations, moment, disk.get()).ok());
    const std::string when =
        absl::StrCat("before ", moment < operations.size() ? operations[moment].Describe() : "the end");
    const bool all = disk->ForEachCrashState(kBlockBytes, most, [&](MemoryFileSystem& after) {
      ++tally.tried;
      const std::string at = absl::StrCat(when, ", state ", tally.tried);
      const auto [state, is_new] = tally.states.emplace(after.Fingerprint(), 0);
      if (is_new) {
        state->second = Restart(&after, at);
        ExpectNoLeftovers(&after, at);
      }
      const int64_t found = state->second;  // what a state leads to is the same at any moment
      if (moment <= renamed) {
        EXPECT_EQ(found, previous) << at;
      } else if (moment > durable) {
        EXPECT_EQ(found, fresh) << at;
      } else {
        EXPECT_TRUE(found == previous || found == fresh) << at << ": " << found;
      }
      if (!is_new) return;
      tally.previous += found == previous;
      tally.fresh += found == fresh;
      if (tally.tried % 16 != 0) return;
      // The run goes on from there, and its next save is as good as any.
      const SampleState next(fresh + 1, kHidden);
      const SaveOutcome outcome = SaveByTeam({&after}, 1, next, 1);
      EXPECT_TRUE(outcome.status.ok() && outcome.after_commit.ok())
          << at << ": " << outcome.status << outcome.after_commit;
      EXPECT_EQ(Restart(&after, at), fresh + 1) << at;
    });
    tally.sampled_moments += !all;
  }
  std::printf(
      "%zu operations, %zu distinct crash states (%lld load the new one, %lld the previous); "
      "%d moments had more than were tried\n",
      operations.size(), tally.states.size(), static_cast<long long>(tally.fresh),
      static_cast<long long>(tally.previous), tally.sampled_moments);
  return tally;
}

Tally CrashASave(const std::vector<int64_t>& there, int64_t step, int shards, int keep_last, bool best,
                 size_t most = StatesOfAMoment()) {
  const auto before = Disk(there);
  const auto disk = before->CutPower(1);
  RecordingFileSystem recording(disk.get());
  const SampleState state(step, kHidden);
  const SaveOutcome outcome = SaveByTeam({&recording}, shards, state, keep_last, best);
  EXPECT_TRUE(outcome.status.ok() && outcome.after_commit.ok()) << outcome.status << outcome.after_commit;
  return TryAll(*before, recording.operations(), there.empty() ? -1 : there.back(), step, most);
}

TEST(CrashStates, OfASaveByOneWriter) {
  const Tally tally = CrashASave({1}, 2, 1, 3, false);
  EXPECT_GE(tally.states.size(), 1000u) << "too few to say anything";
  EXPECT_GT(tally.fresh, 0);
  EXPECT_EQ(tally.sampled_moments, 0) << "all legal states are to be tried";
}

TEST(CrashStates, OfTheFirstSaveOfARun) {
  const Tally tally = CrashASave({}, 1, 1, 3, false);
  EXPECT_GE(tally.states.size(), 1000u);
}

TEST(CrashStates, OfASaveThatPrunesTwoAndMovesTheBest) {
  const Tally tally = CrashASave({1, 2, 3}, 4, 1, 1, true);
  EXPECT_GE(tally.states.size(), 1000u);
  EXPECT_GT(tally.fresh, 0);
}

// Three files grow at a time, so there are too many states to try them all.
TEST(CrashStates, OfASaveByThreeWriters) {
  const Tally tally = CrashASave({1, 2}, 3, 3, 1, false, StatesOfAMoment() / 100);
  EXPECT_GE(tally.states.size(), 1000u);
  EXPECT_GT(tally.fresh, 0);
}

// Another state of the same step takes the place of a whole one: the one before it stays in any case.
TEST(CrashStates, OfAReplacement) {
  const auto before = Disk({1, 2});
  const auto disk = before->CutPower(1);
  // Damaged first, or the save would see that it is there.
  const std::string model = JoinPath(CheckpointPath(kFolder, 2), kModelName);
  for (FileSystem* fs : {static_cast<FileSystem*>(before.get()), static_cast<FileSystem*>(disk.get())}) {
    ASSERT_TRUE(fs->Truncate(model, 10).ok());
    ASSERT_TRUE(fs->OpenForAppend(model).value()->Sync().ok());
  }
  RecordingFileSystem recording(disk.get());
  ASSERT_TRUE(SaveByTeam({&recording}, 1, SampleState(2, kHidden)).status.ok());
  TryAll(*before, recording.operations(), 1, 2);
}

// The oracle itself must be able to fail: without the sync of the folder before the rename, states are found
// that lose both checkpoints.
TEST(CrashStates, AnUnsyncedFolderIsNoticed) {
  const auto before = Disk({1});
  const auto disk = before->CutPower(1);
  RecordingFileSystem recording(disk.get());
  ASSERT_TRUE(SaveByTeam({&recording}, 1, SampleState(2, kHidden)).status.ok());
  std::vector<DiskOperation> careless;
  for (const DiskOperation& operation : recording.operations()) {
    if (operation.kind != Kind::kSync) careless.push_back(operation);
  }
  int64_t torn = 0;
  const auto after = before->CutPower(1);
  ASSERT_TRUE(testing::Replay(careless, careless.size(), after.get()).ok());
  after->ForEachCrashState(kBlockBytes, 200, [&](MemoryFileSystem& state) {
    torn += !LoadCheckpoint(&state, CheckpointPath(kFolder, 2)).ok();
  });
  EXPECT_GT(torn, 0);
}

}  // namespace
}  // namespace lockstep::train
