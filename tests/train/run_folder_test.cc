#include "runtime/train/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "runtime/train/checkpoint_folder.h"
#include "tests/testing/faulty_file_system.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;

class ListeningLogger final : public Logger {
 public:
  void Log(LogLevel, absl::string_view line) override {
    std::lock_guard lock(mutex_);
    absl::StrAppend(&text_, line, "\n");
  }
  std::string text() {
    std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

class RunFolderTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, absl::string_view bytes) {
    ASSERT_TRUE(fs_.Create(path).value()->Append(bytes).ok());
  }
  std::string Cut(absl::string_view text, int64_t step) {
    Write("m", text);
    EXPECT_TRUE(CutLines(&fs_, "m", step).ok());
    return ReadWholeFile(&fs_, "m").value();
  }
  testing::MemoryFileSystem fs_;
  ListeningLogger logger_;
};

TEST_F(RunFolderTest, IsMadeAndHeld) {
  auto run = RunFolder::Open(&fs_, "a/run", &logger_);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->paths().metrics(), "a/run/metrics.jsonl");
  EXPECT_THAT(ReadWholeFile(&fs_, "a/run/.lock").value(), HasSubstr(std::to_string(::getpid())));
  ASSERT_TRUE(run->WriteConfig("lanes: 8\n").ok());
  EXPECT_EQ(ReadWholeFile(&fs_, "a/run/run.textproto").value(), "lanes: 8\n");
}

TEST_F(RunFolderTest, ASecondRunIsRefusedAndToldWhoHoldsIt) {
  auto first = RunFolder::Open(&fs_, "run", &logger_);
  const auto second = RunFolder::Open(&fs_, "run", &logger_, absl::Milliseconds(150));
  EXPECT_EQ(ExitCodeOf(second.status()), 2);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("process " + std::to_string(::getpid())));
  EXPECT_THAT(logger_.text(), HasSubstr("waiting up to 150ms"));
}

TEST_F(RunFolderTest, ASecondRunTakesOverWhenTheFirstEnds) {
  auto first = std::make_unique<RunFolder>(RunFolder::Open(&fs_, "run", &logger_).value());
  std::thread ending([&] {
    while (logger_.text().empty()) std::this_thread::yield();
    first.reset();
  });
  EXPECT_TRUE(RunFolder::Open(&fs_, "run", &logger_).ok());
  ending.join();
}

TEST(RunFolderOnDisk, TheLockIsReal) {
  const std::string folder = ::testing::TempDir() + "/run_folder_test." + std::to_string(::getpid());
  ListeningLogger logger;
  {
    auto first = RunFolder::Open(RealFileSystem(), folder, &logger);
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_FALSE(RunFolder::Open(RealFileSystem(), folder, &logger, absl::ZeroDuration()).ok());
  }
  EXPECT_TRUE(RunFolder::Open(RealFileSystem(), folder, &logger, absl::ZeroDuration()).ok());
  EXPECT_TRUE(DeleteTree(RealFileSystem(), folder).ok());
}

TEST_F(RunFolderTest, AFolderThatCannotBeMadeIsAConfigError) {
  Write("file", "");
  EXPECT_EQ(ExitCodeOf(RunFolder::Open(&fs_, "file/run", &logger_).status()), 2);
}

TEST_F(RunFolderTest, LaterLinesGo) {
  const std::string kept =
      "{\"step\": 1, \"loss\": 2}\n{\"step\": 2}\n{\"step\": 2, \"eval\": {\"loss\": 1}}\n";
  EXPECT_EQ(Cut(kept + "{\"step\": 3, \"loss\": 1}\n{\"step\": 10}\n", 2), kept);
  EXPECT_EQ(Cut(kept, 2), kept);
  EXPECT_EQ(Cut(kept, 0), "");
}

TEST_F(RunFolderTest, EveryTornTailGoes) {
  const std::string kept = "{\"step\": 1, \"ids\": [1, 2]}\n", line = "{\"step\": 2, \"ids\": [3, 4]}\n";
  for (size_t size = 0; size < line.size(); ++size)
    EXPECT_EQ(Cut(kept + line.substr(0, size), 9), kept) << size;
}

TEST_F(RunFolderTest, ZerosOfAPowerCutGo) {
  const std::string kept = "{\"step\": 1, \"ids\": [1, 2]}\n";
  EXPECT_EQ(Cut(kept + std::string(100, '\0'), 9), kept);
  EXPECT_EQ(Cut(kept + "{\"step\": 2, \"ids\": [" + std::string(4, '\0') + "]}\n", 9), kept);
}

TEST_F(RunFolderTest, ALineOutOfOrderDoesNotTakeOthersWithIt) {
  EXPECT_EQ(Cut("{\"step\": 1}\n{\"step\": 5}\n{\"step\": 2}\n{\"step\": 6}\n", 2),
            "{\"step\": 1}\n{\"step\": 2}\n");
}

TEST_F(RunFolderTest, AMissingFileIsFine) { EXPECT_TRUE(CutLines(&fs_, "none", 3).ok()); }

TEST_F(RunFolderTest, CutBackSurvivesAPowerCutAtEveryOperation) {
  const std::string kept = "{\"step\": 1}\n{\"step\": 2}\n";
  for (int64_t n = 1; n < 12; ++n) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      testing::MemoryFileSystem before;
      auto file = before.Create("m").value();
      ASSERT_TRUE(file->Append(kept + "{\"step\": 7}\n{\"st").ok());
      ASSERT_TRUE(file->Sync().ok());
      ASSERT_TRUE(before.SyncFolder("").ok());
      testing::FaultyFileSystem dying(&before);
      dying.FailAt(n, absl::UnavailableError("no power"), testing::FaultyFileSystem::Kind::kFromThenOn);
      (void)CutLines(&dying, "m", 2);
      const auto after = before.CutPower(seed);
      ASSERT_TRUE(CutLines(after.get(), "m", 2).ok());
      EXPECT_EQ(ReadWholeFile(after.get(), "m").value(), kept) << n << ", " << seed;
    }
  }
}

TEST_F(RunFolderTest, CutBackSetsLaterCheckpointsAside) {
  auto run = RunFolder::Open(&fs_, "run", &logger_).value();
  for (const int64_t step : {1, 2}) {
    ASSERT_TRUE(fs_.CreateFolders(CheckpointPath(run.paths().checkpoints(), step)).ok());
  }
  Write(run.paths().ledger(), "{\"step\": 1, \"ids\": []}\n{\"step\": 2, \"ids\": []}\n");
  ASSERT_TRUE(run.CutBack(1, &logger_).ok());
  EXPECT_EQ(ReadWholeFile(&fs_, run.paths().ledger()).value(), "{\"step\": 1, \"ids\": []}\n");
  EXPECT_THAT(logger_.text(), HasSubstr("set-aside-step-00000002"));
}

}  // namespace
}  // namespace lockstep::train
