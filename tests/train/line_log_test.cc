#include "runtime/train/line_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/faulty_file_system.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::train {
namespace {

using testing::FaultyFileSystem;
using testing::MemoryFileSystem;

TEST(LineLog, AppendsAfterWhatIsThere) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.Create("f").value()->Append("one\n").ok());
  auto log = LineLog::Open(&fs, "f").value();
  ASSERT_TRUE(log->Append("two").ok());
  EXPECT_EQ(ReadWholeFile(&fs, "f").value(), "one\ntwo\n");
}

TEST(LineLog, EachLineIsOneWrite) {
  MemoryFileSystem memory;
  FaultyFileSystem fs(&memory);
  auto log = LineLog::Open(&fs, "f").value();
  fs.Heal();
  ASSERT_TRUE(log->Append("a line").ok());
  EXPECT_EQ(fs.calls(), 1);
}

TEST(LineLog, NoLineIsLostOrTornByAFullDisk) {
  MemoryFileSystem memory;
  FaultyFileSystem fs(&memory);
  auto log = LineLog::Open(&fs, "f").value();
  ASSERT_TRUE(log->Append("line 1").ok());
  fs.Heal();
  fs.FailAt(1, absl::ResourceExhaustedError("no space"), FaultyFileSystem::Kind::kFromThenOn);
  EXPECT_FALSE(log->Append("line 2").ok());
  EXPECT_FALSE(log->Append("line 3").ok());
  EXPECT_FALSE(log->Sync().ok()) << "a checkpoint must not run ahead of the file";
  fs.Heal();
  ASSERT_TRUE(log->Append("line 4").ok());
  EXPECT_TRUE(log->Sync().ok());
  EXPECT_EQ(ReadWholeFile(&memory, "f").value(), "line 1\nline 2\nline 3\nline 4\n");
}

TEST(LineLog, WhatWasSyncedSurvivesAPowerCut) {
  MemoryFileSystem fs;
  auto log = LineLog::Open(&fs, "f").value();
  ASSERT_TRUE(log->Append("line 1").ok());
  ASSERT_TRUE(log->Sync().ok());
  ASSERT_TRUE(log->Append("line 2").ok());
  EXPECT_EQ(ReadWholeFile(fs.CutPower(0).get(), "f").value(), "line 1\n");
}

TEST(LineLog, GivesUpLinesRatherThanMemoryAndSaysSo) {
  MemoryFileSystem memory;
  FaultyFileSystem fs(&memory);
  auto log = LineLog::Open(&fs, "f").value();
  fs.Heal();
  fs.FailAt(1, absl::ResourceExhaustedError("no space"), FaultyFileSystem::Kind::kFromThenOn);
  const std::string line(size_t{40} << 20, 'x');
  EXPECT_FALSE(log->Append(line).ok());
  EXPECT_NE(log->Append(line).message().find("lost"), absl::string_view::npos);
  fs.Heal();
  EXPECT_TRUE(log->Sync().ok()) << "checkpoints must work again when the disk does";
  EXPECT_EQ(ReadWholeFile(&memory, "f").value(), line + "\n");
}

}  // namespace
}  // namespace lockstep::train
