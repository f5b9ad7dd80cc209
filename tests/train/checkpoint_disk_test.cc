// Saves and loads on the real file system: every system call of them disturbed in turn, and a disk that fills.
#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/train/checkpoint_folder.h"
#include "runtime/train/checkpoint_writer.h"
#include "tests/testing/syscall_faults.h"
#include "tests/train/sample_state.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using testing::SyscallFault;
using testing::SyscallFaults;

class RealDisk : public ::testing::Test {
 protected:
  RealDisk() {
    // What is tested is what a call says, not what a disk does: in memory, where that is to be had.
    const std::string place = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ::testing::TempDir();
    std::string folder = JoinPath(place, "lockstep-disk-XXXXXX");
    if (::mkdtemp(folder.data()) == nullptr) std::abort();
    run_ = folder;
  }
  ~RealDisk() override {
    std::error_code ignored;
    std::filesystem::remove_all(run_, ignored);
  }

  std::string Folder() const { return JoinPath(run_, "checkpoints"); }
  SaveOutcome Save(int64_t step, int keep_last = 1, size_t hidden = 8) {
    const SampleState state(step, hidden);
    CheckpointWriterOptions options;
    options.fs = fs_;
    options.folder = Folder();
    options.keep_last = keep_last;
    return SaveCheckpoint(options, state.manifest, state.tensors, true);
  }
  int64_t Found() {
    const auto found = FindCheckpoint(fs_, run_);
    return found.ok() && found->checkpoint ? found->checkpoint->manifest().step : -1;
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    const auto files = fs_->List(Folder()).value();
    for (const FileInfo& file : files) names.push_back(file.name);
    return names;
  }
  void StartOver() {
    std::filesystem::remove_all(Folder());
    ASSERT_TRUE(Save(1).status.ok());
  }

  FileSystem* const fs_ = RealFileSystem();
  std::string run_;
};

struct Disturbance {
  const char* name;
  SyscallFault kind;
  int error;
  bool lasting;
  bool harmless;  // a correct program does not notice
};

const Disturbance kDisturbances[] = {
    {"EIO once", SyscallFault::kFail, EIO, false, false},
    {"EIO from then on", SyscallFault::kFail, EIO, true, false},
    {"ENOSPC from then on", SyscallFault::kFail, ENOSPC, true, false},
    {"EDQUOT once", SyscallFault::kFail, EDQUOT, false, false},
    {"EMFILE once", SyscallFault::kFail, EMFILE, false, false},
    {"interrupted once", SyscallFault::kInterrupted, 0, false, true},
    {"a byte at a time from then on", SyscallFault::kShort, 0, true, true},
};

TEST_F(RealDisk, EverySystemCallOfASaveDisturbed) {
  StartOver();
  int64_t calls = 0;
  {
    const SyscallFaults counting(0, SyscallFault::kFail, 0, false);
    ASSERT_TRUE(Save(2).after_commit.ok());
    calls = counting.calls();
    for (const char* name : {"open", "write", "fsync", "close", "rename", "mkdir", "unlink"}) {
      EXPECT_THAT(counting.names(), ::testing::Contains(name))
          << "is not intercepted, so this test tests nothing";
    }
  }
  for (const Disturbance& what : kDisturbances) {
    for (int64_t n = 1; n <= calls; ++n) {
      StartOver();
      SaveOutcome outcome;
      std::string call;
      {
        const SyscallFaults faults(n, what.kind, what.error, what.lasting);
        outcome = Save(2);
        if (faults.calls() >= n) call = faults.names()[static_cast<size_t>(n - 1)];
      }
      const std::string at = absl::StrCat(what.name, " at call ", n, " (", call, ")");
      if (what.harmless) {
        EXPECT_TRUE(outcome.status.ok() && outcome.after_commit.ok()) << at << outcome.status;
        EXPECT_EQ(Found(), 2) << at;
        continue;
      }
      if (!outcome.status.ok()) {
        EXPECT_EQ(ExitCodeOf(outcome.status), 5) << at;
        const std::string message(outcome.status.message());
        EXPECT_THAT(message, HasSubstr(run_)) << at << ": names no file";
        EXPECT_THAT(message, HasSubstr(::strerror(what.error))) << at << ": gives no reason";
        EXPECT_TRUE(Found() == 1 || Found() == 2) << at;  // 2: renamed, but not known to be durable
      } else {
        EXPECT_EQ(Found(), 2) << at;
      }
      // At the next start.
      ASSERT_TRUE(RemoveLeftovers(fs_, Folder()).ok()) << at;
      for (const std::string& name : Names()) {
        EXPECT_TRUE(name == "best" || StepOfName(name)) << at << " left " << name;
      }
    }
  }
}

TEST_F(RealDisk, EverySystemCallOfALoadDisturbed) {
  StartOver();
  ASSERT_TRUE(Save(2, 2).status.ok());
  int64_t calls = 0;
  {
    const SyscallFaults counting(0, SyscallFault::kFail, 0, false);
    ASSERT_EQ(Found(), 2);
    calls = counting.calls();
    EXPECT_THAT(counting.names(), ::testing::Contains("pread"));
  }
  for (const Disturbance& what : kDisturbances) {
    for (int64_t n = 1; n <= calls; ++n) {
      absl::StatusOr<FoundCheckpoint> found = absl::UnknownError("");
      {
        const SyscallFaults faults(n, what.kind, what.error, what.lasting);
        found = FindCheckpoint(fs_, run_);
      }
      const std::string at = absl::StrCat(what.name, " at call ", n);
      if (what.harmless) {
        ASSERT_TRUE(found.ok() && found->checkpoint) << at;
        EXPECT_EQ(found->checkpoint->manifest().step, 2) << at;
      } else if (!found.ok()) {
        EXPECT_THAT(std::string(found.status().message()), HasSubstr(run_)) << at;
      } else {
        ASSERT_TRUE(found->checkpoint) << at << ": says that there is none";
        const bool fell_back = found->checkpoint->manifest().step == 1;
        ASSERT_EQ(fell_back, found->rejected.size() == 1) << at;
        if (fell_back) {
          EXPECT_THAT(found->rejected[0].reason, HasSubstr(::strerror(what.error))) << at;
        }
      }
    }
  }
  EXPECT_EQ(Found(), 2) << "loading changes nothing";
}

// A file system of 256 KiB: two checkpoints fit, the next does not until there is room again.
TEST_F(RealDisk, ADiskThatFills) {
  if (::mount("lockstep-test", run_.c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "cannot mount a small tmpfs here: " << ::strerror(errno);
  }
  struct Unmount {
    const std::string& folder;
    ~Unmount() { ::umount2(folder.c_str(), MNT_DETACH); }
  } const unmount{run_};
  constexpr size_t kHidden = 12'000;  // 96 kB a checkpoint
  EXPECT_TRUE(Save(1, 9, kHidden).status.ok());
  EXPECT_TRUE(Save(2, 9, kHidden).status.ok());
  const SaveOutcome full = Save(3, 9, kHidden);
  EXPECT_EQ(ExitCodeOf(full.status), 5);
  EXPECT_THAT(std::string(full.status.message()), HasSubstr("No space left on device"));
  EXPECT_THAT(std::string(full.status.message()), HasSubstr("model.safetensors"));
  EXPECT_EQ(Found(), 2);
  EXPECT_THAT(Names(), ::testing::ElementsAre("best", "step-00000001", "step-00000002"));
  EXPECT_TRUE(DeleteCheckpoint(fs_, Folder(), 1).ok()) << "an owner makes room";
  EXPECT_TRUE(Save(4, 9, kHidden).status.ok());
  EXPECT_EQ(Found(), 4);
}

}  // namespace
}  // namespace lockstep::train
