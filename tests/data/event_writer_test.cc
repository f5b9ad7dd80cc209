#include "runtime/data/event_writer.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/event.pb.h"
#include "runtime/data/record_file.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::HasSubstr;

std::vector<events::Event> ReadEvents(FileSystem* fs, const std::string& path) {
  const std::string bytes = *ReadWholeFile(fs, path);
  std::vector<events::Event> found;
  RecordScanner scan(path, bytes);
  while (scan.Next()) {
    EXPECT_TRUE(
        found.emplace_back().ParseFromArray(scan.payload().data(), static_cast<int>(scan.payload().size())));
  }
  EXPECT_TRUE(scan.status().ok()) << scan.status();
  return found;
}

TEST(EventWriterTest, VersionFirstThenScalars) {
  testing::MemoryFileSystem fs;
  auto writer = EventWriter::Create(&fs, "run/events", 0);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->AddScalars(3, {{"train/loss", 0.5}, {"train/lr", 1e-3}}).ok());
  EXPECT_THAT((*writer)->path(), HasSubstr("run/events/events.out.tfevents."));
  const auto found = ReadEvents(&fs, (*writer)->path());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].file_version(), "brain.Event:2");
  EXPECT_EQ(found[1].step(), 3);
  EXPECT_GT(found[1].wall_time(), 1.7e9);
  ASSERT_EQ(found[1].summary().value_size(), 2);
  EXPECT_EQ(found[1].summary().value(0).tag(), "train/loss");
  EXPECT_EQ(found[1].summary().value(1).simple_value(), 1e-3f);
}

TEST(EventWriterTest, ResumeMarksItsFirstStep) {
  testing::MemoryFileSystem fs;
  auto writer = EventWriter::Create(&fs, "e", 100);
  const auto found = ReadEvents(&fs, (*writer)->path());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1].session_log().status(), events::SessionLog::START);
  EXPECT_EQ(found[1].step(), 100);
}

TEST(EventWriterTest, EachStartHasAFileOfItsOwn) {
  testing::MemoryFileSystem fs;
  EXPECT_NE((*EventWriter::Create(&fs, "e", 0))->path(), (*EventWriter::Create(&fs, "e", 0))->path());
}

}  // namespace
}  // namespace lockstep::data
