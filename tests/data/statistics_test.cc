#include "runtime/data/columns/statistics.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/record_tools.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class StatisticsTest : public ::testing::Test {
 protected:
  std::shared_ptr<const Dataset> Open(const std::vector<std::string>& records) {
    EXPECT_TRUE(fs_.CreateFolders("folder").ok());
    Put(&fs_, "folder/f", FileOf(records));
    const std::vector<std::string> files = {"folder/f"};
    return *Dataset::Open(&fs_, files);
  }
  Statistics Of(const std::vector<std::string>& records) { return *ComputeStatistics(*Open(records)); }

  lockstep::testing::MemoryFileSystem fs_;
};

TEST_F(StatisticsTest, NumbersByPlace) {
  const Statistics s = Of({ExampleMaker().Floats("x", {1, -5}).Ints("n", {3}).Serialize(),
                           ExampleMaker().Floats("x", {3, -5}).Ints("n", {3}).Serialize(),
                           ExampleMaker().Floats("x", {8, -5}).Ints("n", {0}).Serialize()});
  const FeatureStatistics& x = s.features.at("x")[0];
  ASSERT_EQ(x.numbers.size(), 2u);
  EXPECT_EQ(x.numbers[0].mean, 4);
  EXPECT_DOUBLE_EQ(x.numbers[0].std, std::sqrt(26.0 / 3));
  EXPECT_EQ(x.numbers[0].min, 1);
  EXPECT_EQ(x.numbers[0].max, 8);
  EXPECT_DOUBLE_EQ(x.numbers[0].log_mean, (std::log(2) + std::log(4) + std::log(9)) / 3);
  EXPECT_EQ(x.numbers[0].quantiles[33], 1);
  EXPECT_EQ(x.numbers[0].quantiles[34], 3);
  EXPECT_EQ(x.numbers[0].histogram[0] + x.numbers[0].histogram[19], 2);
  EXPECT_EQ(x.numbers[1].std, 0);
  EXPECT_EQ(x.numbers[1].log_max, 0) << "log(1 - 5) is none";
  const FeatureStatistics& n = s.features.at("n")[0];
  ASSERT_EQ(n.values.size(), 2u);
  EXPECT_EQ(n.values[0].value, "3");
  EXPECT_EQ(n.values[0].count, 2);
}

TEST_F(StatisticsTest, StringsTypesAndWhatIsMissing) {
  const Statistics s =
      Of({ExampleMaker().Bytes("c", "b").Bytes("raw", "\xff\xfe").Ints("t", {1}).Serialize(),
          ExampleMaker().Bytes("c", "a").Bytes("c", "b").Floats("t", {NAN}).Serialize(), "\xff\xff"});
  const FeatureStatistics& c = s.features.at("c")[0];
  EXPECT_EQ(c.records, 2);
  EXPECT_EQ(c.min_length, 1);
  EXPECT_EQ(c.max_length, 2);
  ASSERT_EQ(c.values.size(), 2u);
  EXPECT_EQ(c.values[0].value, "b");
  EXPECT_FALSE(s.features.at("raw")[0].all_values) << "no text";
  EXPECT_EQ(s.features.at("t").size(), 2u);
  EXPECT_EQ(s.features.at("t")[0].numbers[0].not_finite + s.features.at("t")[1].numbers[0].not_finite, 1);
  EXPECT_EQ(s.other_records, 1);
}

TEST_F(StatisticsTest, StepsOfSequences) {
  records::SequenceExample example;
  auto& list = (*example.mutable_feature_lists()->mutable_feature_list())["words"];
  for (int i = 0; i < 3; ++i) list.add_feature()->mutable_int64_list()->add_value(i);
  const Statistics s = Of({example.SerializeAsString()});
  EXPECT_TRUE(s.features.empty());
  EXPECT_EQ(s.lists.at("words")[0].records, 3);
  EXPECT_EQ(s.lists.at("words")[0].numbers[0].max, 2);
  std::ostringstream out;
  ASSERT_TRUE(StatRecords(&fs_, {"folder/f"}, {}, out).ok());
  EXPECT_THAT(out.str(), HasSubstr("feature list"));
  out.str("");
  ASSERT_TRUE(CatRecords(&fs_, {"folder/f"}, {.format = CatFormat::kJson}, out).ok());
  EXPECT_THAT(out.str(), HasSubstr(R"("featureList":{"words")"));
}

TEST_F(StatisticsTest, ManyValuesAreBounded) {
  std::vector<std::string> records;
  for (int i = 0; i < 40000; ++i) records.push_back(ExampleMaker().Ints("i", {i}).Serialize());
  const NumberStatistics n = Of(records).features.at("i")[0].numbers[0];
  EXPECT_EQ(n.count, 40000);
  EXPECT_NEAR(n.quantiles[50], 20000, 200);
  EXPECT_EQ(n.quantiles[100], 39999);
}

TEST_F(StatisticsTest, FileRoundTrip) {
  const auto dataset = Open({ExampleMaker().Floats("x", {0.1f, 3}).Bytes("c", "one \"two\"").Serialize()});
  const Statistics s = *ComputeStatistics(*dataset);
  const auto again = ReadStatistics("s", WriteStatistics(s));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(WriteStatistics(*again), WriteStatistics(s));
  EXPECT_EQ(again->features.at("x")[0].numbers[0].mean, s.features.at("x")[0].numbers[0].mean);
  EXPECT_TRUE(CheckFresh(*again, "s", *dataset).ok());
}

TEST_F(StatisticsTest, EveryCutOfAFileIsAnError) {
  const std::string whole = WriteStatistics(Of({ExampleMaker().Floats("x", {1}).Serialize()}));
  for (size_t size = 0; size + 2 < whole.size(); ++size)
    EXPECT_EQ(TroubleOf(ReadStatistics("s", whole.substr(0, size)).status()), Trouble::kData) << size;
  EXPECT_THAT(std::string(ReadStatistics("s", "{}").status().message()), HasSubstr("records stat --out"));
  std::string wrong = whole;
  wrong.replace(wrong.find("\"count\":1"), 9, "\"count\":[]");
  EXPECT_THAT(std::string(ReadStatistics("s", wrong).status().message()), HasSubstr("damaged"));
}

TEST_F(StatisticsTest, PageIsEscaped) {
  Open({ExampleMaker().Floats("<x>", {1}).Bytes("c", "<b>&").Serialize()});
  std::ostringstream out;
  ASSERT_TRUE(StatRecords(&fs_, {"folder/f"}, {.html = "page.html"}, out).ok());
  const std::string page = *ReadWholeFile(&fs_, "page.html");
  EXPECT_THAT(
      page, AllOf(HasSubstr("<h2>&lt;x&gt;</h2>"), HasSubstr("<td>&lt;b&gt;&amp;</td>"), HasSubstr("<rect")));
  EXPECT_THAT(out.str(), HasSubstr("written to page.html"));
}

TEST_F(StatisticsTest, OtherDataIsToldWithADiff) {
  const Statistics s = Of({ExampleMaker().Floats("x", {1}).Serialize()});
  const auto changed = Open({ExampleMaker().Floats("x", {2}).Serialize(), ExampleMaker().Serialize()});
  EXPECT_THAT(
      std::string(CheckFresh(s, "s.json", *changed).message()),
      AllOf(HasSubstr("s.json was made of other data"), HasSubstr("\n  - f: 1 records"),
            HasSubstr("\n  + f: 2 records"), HasSubstr("lockstep records stat folder/f --out s.json")));
}

}  // namespace
}  // namespace lockstep::data
