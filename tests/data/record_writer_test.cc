#include "runtime/data/record_writer.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/record_file.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/faulty_file_system.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

absl::Status WriteThree(FileSystem* fs, const std::string& path) {
  ASSIGN_OR_RETURN(auto writer, RecordWriter::Create(fs, path));
  RETURN_IF_ERROR(writer->Write("zero"));
  RETURN_IF_ERROR(writer->Write(""));
  RETURN_IF_ERROR(writer->Write(std::string(3 << 20, 'x')));
  return writer->Close();
}

TEST(RecordWriterTest, WritesTheFormatByteForByte) {
  testing::MemoryFileSystem fs;
  ASSERT_TRUE(WriteThree(&fs, "f").ok());
  EXPECT_EQ(*ReadWholeFile(&fs, "f"), FileOf({"zero", "", std::string(3 << 20, 'x')}));
  EXPECT_FALSE(fs.Exists("f.tmp"));
}

TEST(RecordWriterTest, IndexIsThatOfTheFile) {
  testing::MemoryFileSystem fs;
  auto writer = RecordWriter::Create(&fs, "f");
  ASSERT_TRUE((*writer)->Write("zero").ok());
  ASSERT_TRUE((*writer)->Write("one").ok());
  ASSERT_TRUE((*writer)->Close().ok());
  auto built = RecordIndex::Build("f", *ReadWholeFile(&fs, "f"));
  EXPECT_TRUE((*writer)->index() == *built);
}

TEST(RecordWriterTest, NothingUnderTheNameUntilClose) {
  testing::MemoryFileSystem fs;
  {
    auto writer = RecordWriter::Create(&fs, "f");
    ASSERT_TRUE((*writer)->Write("zero").ok());
    EXPECT_FALSE(fs.Exists("f"));
  }
  EXPECT_FALSE(fs.Exists("f"));
  EXPECT_FALSE(fs.Exists("f.tmp"));
}

TEST(RecordWriterTest, AnyFailingCallLeavesTheOldFileWhole) {
  for (int64_t n = 1;; ++n) {
    testing::MemoryFileSystem disk;
    Put(&disk, "f", "what was there before");
    testing::FaultyFileSystem fs(&disk);
    fs.FailAt(n, absl::ResourceExhaustedError("disk full"), testing::FaultyFileSystem::Kind::kFromThenOn);
    if (WriteThree(&fs, "f").ok()) {
      ASSERT_GT(n, 5);  // there were calls to fail
      break;
    }
    const std::string found = *ReadWholeFile(&disk, "f");
    const bool renamed = fs.operations().back().rfind("sync", 0) == 0 && found != "what was there before";
    EXPECT_TRUE(renamed || found == "what was there before") << n;
  }
}

TEST(RecordWriterTest, PowerCutsLeaveOldOrNew) {
  testing::MemoryFileSystem fs;
  Put(&fs, "f", "what was there before");
  ASSERT_TRUE(WriteThree(&fs, "f").ok());
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(*ReadWholeFile(fs.CutPower(seed).get(), "f"), FileOf({"zero", "", std::string(3 << 20, 'x')}));
  }
}

}  // namespace
}  // namespace lockstep::data
