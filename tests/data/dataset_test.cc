#include "runtime/data/dataset.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::HasSubstr;

class DatasetTest : public ::testing::Test {
 protected:
  DatasetTest() {
    EXPECT_TRUE(fs_.CreateFolders("d").ok());
    Put(&fs_, "d/a-1.tfrecord", FileOf({"zero", "one"}));
    Put(&fs_, "d/a-2.tfrecord", FileOf({"two"}));
    Put(&fs_, "d/b.tfrecord", FileOf({"three"}));
  }
  std::string FingerprintOf(const std::vector<std::string>& patterns) {
    return (*Dataset::Open(&fs_, patterns))->fingerprint();
  }
  testing::MemoryFileSystem fs_;
};

TEST_F(DatasetTest, RunsThroughFilesInTheirOrder) {
  auto dataset = Dataset::Open(&fs_, {"d/b*.tfrecord", "d/a*.tfrecord"});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 4);
  EXPECT_EQ(*(*dataset)->Record(0), "three");
  EXPECT_EQ(*(*dataset)->Record(1), "zero");
  EXPECT_EQ(*(*dataset)->Record(3), "two");
  EXPECT_EQ((*dataset)->Describe(2), "d/a-1.tfrecord, record 1");
}

TEST_F(DatasetTest, MissingFilesAreNamed) {
  EXPECT_THAT(Dataset::Open(&fs_, {"d/c*.tfrecord"}).status().message(), HasSubstr("d/c*.tfrecord"));
  EXPECT_THAT(Dataset::Open(&fs_, {"d/none"}).status().message(), HasSubstr("d/none"));
  EXPECT_EQ(TroubleOf(Dataset::Open(&fs_, {"d/none"}).status()), Trouble::kData);
  EXPECT_FALSE(Dataset::Open(&fs_, {}).ok());
}

TEST_F(DatasetTest, EmptyFileIsNamed) {
  Put(&fs_, "d/a-3.tfrecord", "");
  EXPECT_THAT(Dataset::Open(&fs_, {"d/a*.tfrecord"}).status().message(),
              HasSubstr("d/a-3.tfrecord is empty"));
}

TEST_F(DatasetTest, FileGivenTwice) {
  EXPECT_THAT(Dataset::Open(&fs_, {"d/a*.tfrecord", "d/a-2.tfrecord"}).status().message(),
              HasSubstr("given twice"));
}

TEST_F(DatasetTest, FingerprintIgnoresFoldersAndIndexes) {
  const std::string before = FingerprintOf({"d/a*.tfrecord"});
  EXPECT_EQ(before.size(), 64u);
  ASSERT_TRUE(fs_.CreateFolders("e").ok());
  Put(&fs_, "e/a-1.tfrecord", FileOf({"zero", "one"}));
  Put(&fs_, "e/a-2.tfrecord", FileOf({"two"}));
  auto index = RecordIndex::Build("", FileOf({"two"}));
  ASSERT_TRUE(WriteIndex(&fs_, "e/a-2.tfrecord", *index).ok());
  EXPECT_EQ(FingerprintOf({"e/a*.tfrecord"}), before);
}

TEST_F(DatasetTest, FingerprintSeesNamesOrderAndEveryPayload) {
  const std::string before = FingerprintOf({"d/a*.tfrecord"});
  EXPECT_NE(FingerprintOf({"d/a-2.tfrecord", "d/a-1.tfrecord"}), before);
  EXPECT_NE(FingerprintOf({"d/a-1.tfrecord"}), before);
  Put(&fs_, "d/a-2.tfrecord", FileOf({"twO"}));  // the same size
  EXPECT_NE(FingerprintOf({"d/a*.tfrecord"}), before);
}

// Files that are read give what files that are mapped give, and the same errors.
TEST_F(DatasetTest, ReadingIsTheSameAsMapping) {
  std::vector<std::string> payloads;
  for (int i = 0; i < 500; ++i)
    payloads.push_back(std::string(static_cast<size_t>(i * 13 % 200), 'x') + std::to_string(i));
  Put(&fs_, "d/c-1.tfrecord", FileOf(payloads));
  std::string damaged = FileOf({"first", "second"});
  damaged[16 + 5 + 12] ^= 1;
  Put(&fs_, "d/c-2.tfrecord", damaged);
  const auto mapped = *Dataset::Open(&fs_, {"d/c-*.tfrecord"}, {.read = ReadMode::kMapped});
  const auto read = *Dataset::Open(&fs_, {"d/c-*.tfrecord"}, {.read = ReadMode::kRead});
  EXPECT_FALSE(mapped->reads());
  EXPECT_EQ(mapped->Announce({1, 2}), nullptr);
  ASSERT_TRUE(read->reads());
  EXPECT_EQ(read->fingerprint(), mapped->fingerprint());
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 502; ++i) ids.push_back(i * 7 % 502);
  const auto ticket = read->Announce(ids);
  ASSERT_NE(ticket, nullptr);
  for (const int64_t id : ids) {
    const auto want = mapped->Record(id), got = read->Record(id);
    ASSERT_EQ(got.status(), want.status()) << id;
    if (want.ok()) {
      EXPECT_EQ(*got, want->bytes()) << id;
    }
  }
  EXPECT_FALSE(read->Record(501).ok());
  EXPECT_EQ(read->read_ahead()->counts().direct_reads, 0);
  EXPECT_LE(read->read_ahead()->counts().reads, 2);  // neighbours together, a read a file
}

TEST_F(DatasetTest, APassReadsEveryRecordOnce) {
  std::vector<std::string> payloads;
  for (int i = 0; i < 5000; ++i) payloads.push_back(std::to_string(i));
  Put(&fs_, "d/c.tfrecord", FileOf(payloads));
  const auto read = *Dataset::Open(&fs_, {"d/c.tfrecord"}, {.read = ReadMode::kRead});
  DatasetPass pass(read.get(), 100, 4990);
  for (int64_t id = 100; id < 4990; ++id) {
    const auto record = pass.Record(id);
    ASSERT_TRUE(record.ok());
    ASSERT_EQ(*record, payloads[static_cast<size_t>(id)]);
  }
  EXPECT_EQ(read->read_ahead()->counts().direct_reads, 0);
}

TEST_F(DatasetTest, NumbersInBraces) {
  const auto dataset = Dataset::Open(&fs_, {"d/a-{1..2}.tfrecord"});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 3);
  EXPECT_THAT(Dataset::Open(&fs_, {"d/a-{1..3}.tfrecord"}).status().message(), HasSubstr("d/a-3.tfrecord"));
}

}  // namespace
}  // namespace lockstep::data
