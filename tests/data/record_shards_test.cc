#include "runtime/data/record_shards.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record_sidecar.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/faulty_file_system.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;

absl::StatusOr<std::vector<Shard>> Write(FileSystem* fs, const std::vector<std::string>& records,
                                         ShardOptions options) {
  ShardedRecordWriter writer(fs, "d/x", options);
  for (const std::string& record : records) RETURN_IF_ERROR(writer.Write(record));
  return writer.Close();
}

std::vector<int64_t> Counts(const absl::StatusOr<std::vector<Shard>>& shards) {
  std::vector<int64_t> counts;
  EXPECT_TRUE(shards.ok()) << shards.status();
  for (const Shard& shard : *shards) counts.push_back(shard.records);
  return counts;
}

std::vector<std::string> Names(FileSystem* fs) {
  std::vector<std::string> names;
  const std::vector<FileInfo> files = *fs->List("d");
  for (const FileInfo& file : files) names.push_back(file.name);
  return names;
}

class RecordShardsTest : public ::testing::Test {
 protected:
  RecordShardsTest() { EXPECT_TRUE(fs_.CreateFolders("d").ok()); }
  testing::MemoryFileSystem fs_;
};

TEST_F(RecordShardsTest, ByNumber) {
  EXPECT_THAT(Counts(Write(&fs_, {"a", "b", "c", "d", "e"}, {.most_records = 2})), ElementsAre(2, 2, 1));
  EXPECT_THAT(Names(&fs_), ElementsAre("x-00000-of-00003.tfrecord", "x-00001-of-00003.tfrecord",
                                       "x-00002-of-00003.tfrecord"));
  EXPECT_EQ(*(*Dataset::Open(&fs_, {"d/x*"}))->Record(4), "e");
}

TEST_F(RecordShardsTest, BySizeWithFraming) {
  const std::string ten(10, 'x');  // 26 bytes with framing
  EXPECT_THAT(Counts(Write(&fs_, {ten, ten, ten, std::string(100, 'y'), ten}, {.most_bytes = 52})),
              ElementsAre(2, 1, 1, 1));
  EXPECT_EQ(fs_.List("d")->front().size_bytes, 52u);
}

TEST_F(RecordShardsTest, CompressedWithIndexesAndPatternsThatLeaveThemOut) {
  const ShardOptions options{.most_records = 2,
                             .file = {.compression = Compression::kZstd, .write_index = true}};
  EXPECT_THAT(Counts(Write(&fs_, {"a", "b", "c"}, options)), ElementsAre(2, 1));
  EXPECT_THAT(Names(&fs_),
              ElementsAre("x-00000-of-00002.tfrecord.zst", "x-00000-of-00002.tfrecord.zst.lsidx",
                          "x-00001-of-00002.tfrecord.zst", "x-00001-of-00002.tfrecord.zst.lsidx"));
  auto dataset = Dataset::Open(&fs_, {"d/*"});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 3);
}

TEST_F(RecordShardsTest, NothingWrittenIsAnError) { EXPECT_EQ(ExitCodeOf(Write(&fs_, {}, {}).status()), 2); }

TEST_F(RecordShardsTest, GivenUpLeavesNothing) {
  {
    ShardedRecordWriter writer(&fs_, "d/x", {.most_records = 1});
    ASSERT_TRUE(writer.Write("a").ok());
    ASSERT_TRUE(writer.Write("b").ok());
    EXPECT_THAT(Names(&fs_), ElementsAre("x-00000.tmp", "x-00001.tmp"));
  }
  EXPECT_THAT(Names(&fs_), ElementsAre());
}

// Whatever call fails, and whenever the power goes, what has a final name is whole.
TEST_F(RecordShardsTest, NoHalfFileUnderItsFinalName) {
  const std::vector<std::string> records = {"a", "b", "c"};
  const ShardOptions options{.most_records = 1, .file = {.write_index = true}};
  bool done = false;
  for (int64_t n = 1; !done; ++n) {
    testing::MemoryFileSystem disk;
    ASSERT_TRUE(disk.CreateFolders("d").ok() && disk.SyncFolder(".").ok());
    testing::FaultyFileSystem fs(&disk);
    fs.FailAt(n, absl::ResourceExhaustedError("disk full"), testing::FaultyFileSystem::Kind::kFromThenOn);
    done = Write(&fs, records, options).ok();
    for (uint64_t seed = 0; seed < 8; ++seed) {
      const auto after = disk.CutPower(seed);
      const std::vector<FileInfo> files = *after->List("d");
      for (const FileInfo& file : files) {
        if (file.name.find("-of-") == std::string::npos || file.name.find(".tmp") != std::string::npos)
          continue;
        if (file.name.find(".lsidx") != std::string::npos) continue;
        auto opened = RecordFile::Open(after.get(), "d/" + file.name);
        ASSERT_TRUE(opened.ok()) << n << " " << seed << " " << opened.status();
        EXPECT_TRUE((*opened)->Record(0).ok());
      }
    }
    ASSERT_LT(n, 200);
  }
}

}  // namespace
}  // namespace lockstep::data
