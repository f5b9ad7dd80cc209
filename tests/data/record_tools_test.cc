#include "runtime/data/record_tools.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/record_index.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RecordToolsTest : public ::testing::Test {
 protected:
  RecordToolsTest() {
    for (int64_t i = 0; i < 5; ++i) {
      records_.push_back(ExampleMaker().Ints("label", {i}).Bytes("image", std::string(3, 'a')).Serialize());
    }
    Put(&fs_, "f", FileOf(records_));
  }
  void Damage(size_t at) {
    std::string bytes = *ReadWholeFile(&fs_, "f");
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    Put(&fs_, "f", bytes);
  }
  size_t FramedSize() const { return records_[0].size() + kRecordFramingBytes; }

  testing::MemoryFileSystem fs_;
  std::vector<std::string> records_;
  std::ostringstream out_;
};

TEST_F(RecordToolsTest, VerifyCountsWholeRecords) {
  EXPECT_TRUE(VerifyRecords(&fs_, {"f"}, 2, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("5 whole records in 1 files"));
}

TEST_F(RecordToolsTest, VerifyNamesEveryDamagedPayload) {
  Damage(12);
  Damage(3 * FramedSize() + 12);
  const absl::Status status = VerifyRecords(&fs_, {"f"}, 1, out_);
  EXPECT_EQ(ExitCodeOf(status), 3);
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("byte 0, record 0"), HasSubstr("record 3"), HasSubstr("3 whole records")));
}

TEST_F(RecordToolsTest, VerifyTellsMissingAndEmptyFilesBesideTheOthers) {
  Put(&fs_, "g", "");
  EXPECT_EQ(ExitCodeOf(VerifyRecords(&fs_, {"f", "g"}, 2, out_)), 3);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("g is empty"), HasSubstr("5 whole records")));
  EXPECT_EQ(ExitCodeOf(VerifyRecords(&fs_, {"none"}, 1, out_)), 3);
}

TEST_F(RecordToolsTest, VerifyNoticesAnIndexOfAnotherFile) {
  ASSERT_TRUE(IndexRecords(&fs_, {"f"}, IndexWork::kBuild, out_).ok());
  EXPECT_TRUE(VerifyRecords(&fs_, {"f"}, 1, out_).ok());
  Put(&fs_, "f", FileOf({"something", "else"}));
  EXPECT_EQ(ExitCodeOf(VerifyRecords(&fs_, {"f"}, 1, out_)), 3);
  EXPECT_THAT(out_.str(), HasSubstr("f.lsidx is not the index of f"));
}

TEST_F(RecordToolsTest, OnlyIndexWritesBesideTheData) {
  ASSERT_TRUE(ListRecords(&fs_, {"f"}, out_).ok());
  ASSERT_TRUE(StatRecords(&fs_, {"f"}, {}, out_).ok());
  ASSERT_TRUE(BenchRecords(&fs_, {"f"}, {.parse = true, .repeat = 1}, out_).ok());
  EXPECT_EQ(fs_.List("")->size(), 1u);
}

TEST_F(RecordToolsTest, LsNamesFeatures) {
  ASSERT_TRUE(ListRecords(&fs_, {"f"}, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr("f: image bytes[3], label int64[1]"));
}

TEST_F(RecordToolsTest, StatShowsRanges) {
  ASSERT_TRUE(StatRecords(&fs_, {"f"}, {}, out_).ok());
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("5 records"), HasSubstr("0 .. 4"), HasSubstr("97")));
}

TEST_F(RecordToolsTest, CatLimitsAndSkips) {
  ASSERT_TRUE(CatRecords(&fs_, {"f"}, {.first = 1, .limit = 2}, out_).ok());
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("# f, record 1"), HasSubstr("# f, record 2"), Not(HasSubstr("record 3"))));
  EXPECT_TRUE(CatRecords(&fs_, {"f"}, {.first = 100}, out_).ok());
}

TEST_F(RecordToolsTest, CatAsJson) {
  ASSERT_TRUE(CatRecords(&fs_, {"f"}, {.format = CatFormat::kJson, .first = 4, .limit = 1}, out_).ok());
  EXPECT_THAT(out_.str(), HasSubstr(R"("label":{"int64List":{"value":["4"]}})"));
}

TEST_F(RecordToolsTest, OtherPayloadsAreNoCrash) {
  Put(&fs_, "f", FileOf({"\xff\xff no example", ""}));
  EXPECT_TRUE(ListRecords(&fs_, {"f"}, out_).ok());
  EXPECT_TRUE(StatRecords(&fs_, {"f"}, {}, out_).ok());
  EXPECT_EQ(ExitCodeOf(CatRecords(&fs_, {"f"}, {}, out_)), 3);
  EXPECT_EQ(ExitCodeOf(BenchRecords(&fs_, {"f"}, {.parse = true}, out_)), 3);
}

TEST_F(RecordToolsTest, BenchReadsParsesAndShuffles) {
  for (const BenchOptions& options : {BenchOptions{}, BenchOptions{.parse = true, .threads = 2, .batch = 2},
                                      BenchOptions{.shuffle = true}}) {
    std::ostringstream out;
    ASSERT_TRUE(BenchRecords(&fs_, {"f"}, options, out).ok());
    EXPECT_THAT(out.str(), AllOf(HasSubstr(" GB/s  "), HasSubstr(" records/s")));
  }
}

TEST_F(RecordToolsTest, BenchNoticesDamage) {
  Damage(12);
  EXPECT_EQ(ExitCodeOf(BenchRecords(&fs_, {"f"}, {}, out_)), 3);
  EXPECT_EQ(ExitCodeOf(BenchRecords(&fs_, {"f"}, {.parse = true}, out_)), 3);
}

}  // namespace
}  // namespace lockstep::data
