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

}  // namespace
}  // namespace lockstep::data
