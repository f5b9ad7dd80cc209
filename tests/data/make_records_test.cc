#include "runtime/data/make_records.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/dataset.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/gunzip.h"
#include "runtime/data/text/tokenizer.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "1,2\n3,4\n" by Python's gzip.
const std::string kGzip(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x33\xd4\x31\xe2\x32\xd6\x31\xe1\x02\x00\x47\x93\x6c\xaf\x08\x00"
    "\x00\x00",
    28);

class MakeRecordsTest : public ::testing::Test {
 protected:
  records::Example At(const std::string& pattern, int64_t id) {
    auto dataset = Dataset::Open(&fs_, {pattern});
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    records::Example example;
    const absl::string_view record = *(*dataset)->Record(id);
    EXPECT_TRUE(example.ParseFromArray(record.data(), static_cast<int>(record.size())));
    return example;
  }
  int64_t Count(const std::string& pattern) { return (*Dataset::Open(&fs_, {pattern}))->size(); }
  std::string Joined(const std::string& pattern) {
    auto dataset = *Dataset::Open(&fs_, {pattern});
    std::string text;
    for (int64_t i = 0; i < dataset->size(); ++i) {
      const absl::string_view piece = *BytesFeature(*dataset->Record(i), "text");
      text.append(piece.data(), piece.size());
    }
    return text;
  }
  absl::Status Table(const std::string& contents, TableOptions options, int shards = 1) {
    Put(&fs_, "in.csv", contents);
    options.input = "in.csv";
    if (options.features.empty()) {
      options.features = {*ParseColumns("x=0-1", ColumnFeature::Kind::kBytes),
                          *ParseColumns("y=2", ColumnFeature::Kind::kInt64)};
    }
    return MakeFromTable(&fs_, options, {.out = "o/d", .shards = shards}, out_);
  }
  testing::MemoryFileSystem fs_;
  std::ostringstream out_;
};

TEST_F(MakeRecordsTest, TableSplitsAndShardsInOrder) {
  ASSERT_TRUE(Table("1,2,0\n3,4,1\n5,6,2\n7,8,3\n9,9,4\n9,9,5\n", {.test_every = 3}, 3).ok());
  EXPECT_EQ(Count("o/d-test-00000-of-00001.tfrecord"), 2);
  EXPECT_EQ(Count("o/d-train-00000-of-00003.tfrecord"), 2);
  EXPECT_EQ(Count("o/d-train*"), 4);
  const records::Example example = At("o/d-train*", 1);
  EXPECT_EQ(example.features().feature().at("x").bytes_list().value(0), "\x05\x06");
  EXPECT_EQ(example.features().feature().at("y").int64_list().value(0), 2);
  EXPECT_EQ(At("o/d-test*", 1).features().feature().at("y").int64_list().value(0), 3);
}

TEST_F(MakeRecordsTest, HeaderFloatsAndCarriageReturns) {
  TableOptions options{.header = true, .features = {*ParseColumns("f=0-2", ColumnFeature::Kind::kFloat)}};
  ASSERT_TRUE(Table("a,b,c\r\n1.5,-2,1e3\r\n", options).ok());
  EXPECT_THAT(At("o/d-00000-of-00001.tfrecord", 0).features().feature().at("f").float_list().value(),
              ElementsAre(1.5f, -2, 1000));
}

TEST_F(MakeRecordsTest, BadCellsNameLineAndColumn) {
  EXPECT_THAT(Table("1,2,0\n1,256,0\n", {}).message(),
              HasSubstr("in.csv, line 2, column 1: '256' is not a byte"));
  EXPECT_THAT(Table("1,2,x\n", {}).message(), HasSubstr("column 2: 'x' is not an integer"));
  EXPECT_THAT(Table("1,2\n", {}).message(), AllOf(HasSubstr("line 1 has 2 columns"), HasSubstr("'y'")));
  EXPECT_FALSE(fs_.Exists("o/d-00000-of-00001.tfrecord"));
}

TEST_F(MakeRecordsTest, TooFewRecordsForTheShards) { EXPECT_EQ(ExitCodeOf(Table("1,2,0\n", {}, 2)), 2); }

TEST_F(MakeRecordsTest, BadColumnsAreUsageErrors) {
  for (const char* text : {"x", "x=", "=1", "x=3-1", "x=-1", "x=1-2-3", "x=a"}) {
    EXPECT_EQ(ExitCodeOf(ParseColumns(text, ColumnFeature::Kind::kFloat).status()), 2) << text;
  }
}

TEST_F(MakeRecordsTest, TextIsWholeAgainAndCutAtLines) {
  std::string text;
  for (int i = 0; i < 100; ++i) absl::StrAppend(&text, "line ", i, "\n");
  Put(&fs_, "in.txt", text);
  ASSERT_TRUE(MakeFromText(&fs_, {.input = "in.txt", .chunk_bytes = 50, .test_bytes = 101},
                           {.out = "t", .shards = 2}, out_)
                  .ok());
  EXPECT_EQ(Joined("t-train*") + Joined("t-test*"), text);
  EXPECT_LE(Joined("t-test*").size(), 101u);
  EXPECT_GT(Joined("t-test*").size(), 90u);
  EXPECT_EQ(*BytesFeature(At("t-train*", 0).SerializeAsString(), "text"), text.substr(0, 49));
}

TEST_F(MakeRecordsTest, TextWithLongLinesAndNoLastNewline) {
  const std::string text = "short\n" + std::string(200, 'x') + "\nand the end";
  Put(&fs_, "in.txt", text);
  ASSERT_TRUE(MakeFromText(&fs_, {.input = "in.txt", .chunk_bytes = 20}, {.out = "t"}, out_).ok());
  EXPECT_EQ(Joined("t-0*"), text);
  EXPECT_EQ(Count("t-0*"), 3);
}

TEST_F(MakeRecordsTest, TrainBytesEndAtALine) {
  Put(&fs_, "in.txt", "aaaa\nbbbb\ncccc\ndddd\n");
  ASSERT_TRUE(
      MakeFromText(&fs_, {.input = "in.txt", .train_bytes = 6, .test_bytes = 5}, {.out = "t"}, out_).ok());
  EXPECT_EQ(Joined("t-train*"), "aaaa\nbbbb\n");
  EXPECT_EQ(Joined("t-test*"), "dddd\n");
}

TEST_F(MakeRecordsTest, NothingLeftToTrainOn) {
  Put(&fs_, "in.txt", "aaaa\n");
  EXPECT_EQ(ExitCodeOf(MakeFromText(&fs_, {.input = "in.txt", .test_bytes = 5}, {.out = "t"}, out_)), 2);
  EXPECT_EQ(ExitCodeOf(MakeFromText(&fs_, {.input = "none"}, {.out = "t"}, out_)), 3);
}

TEST_F(MakeRecordsTest, GzipInput) {
  TableOptions options{.features = {*ParseColumns("y=0-1", ColumnFeature::Kind::kInt64)}};
  ASSERT_TRUE(Table(kGzip, options).ok());
  EXPECT_THAT(At("o/d-0*", 1).features().feature().at("y").int64_list().value(), ElementsAre(3, 4));
}

TEST(GunzipTest, EveryDamageAndCutIsFound) {
  ASSERT_EQ(*Gunzip("z", kGzip, 100), "1,2\n3,4\n");
  for (size_t at = 10; at < kGzip.size();
       ++at) {  // before that: time, system, and other things without a checksum
    std::string bad = kGzip;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    const auto result = Gunzip("z", bad, 100);
    EXPECT_FALSE(result.ok() && *result != "1,2\n3,4\n") << at;
    EXPECT_FALSE(Gunzip("z", kGzip.substr(0, at), 100).ok()) << at;
  }
  EXPECT_FALSE(Gunzip("z", kGzip, 3).ok());
}

TEST_F(MakeRecordsTest, TextAsTokensOfALearnedTokenizer) {
  const std::string text = "the cat\nthe hat\nthe bat\nthe end\n";
  Put(&fs_, "in.txt", text);
  const TextOptions options{.input = "in.txt",
                            .chunk_bytes = 10,
                            .test_bytes = 8,
                            .tokenizer = "bpe",
                            .vocabulary = 262,
                            .tokens = true};
  ASSERT_TRUE(MakeFromText(&fs_, options, {.out = "o/t"}, out_).ok());
  const auto tokenizer = Tokenizer::Load(&fs_, "o/t-tokenizer.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocabulary_size(), 262);
  EXPECT_TRUE((*tokenizer)->Find("the").has_value());
  EXPECT_FALSE((*tokenizer)->Find("end").has_value());  // the test part teaches nothing
  std::string joined;
  for (const char* part : {"o/t-train*", "o/t-test*"}) {
    for (int64_t i = 0; i < Count(part); ++i) {
      const records::Example record = At(part, i);
      const auto& ids = record.features().feature().at("text").int64_list().value();
      joined += (*tokenizer)->Decode(std::vector<int32_t>(ids.begin(), ids.end()));
    }
  }
  EXPECT_EQ(joined, text);
}

TEST_F(MakeRecordsTest, TextKeepsItsBytesBesideALearnedTokenizer) {
  Put(&fs_, "in.txt", "one two\none two\n");
  ASSERT_TRUE(
      MakeFromText(&fs_, {.input = "in.txt", .tokenizer = "bpe", .vocabulary = 260}, {.out = "t"}, out_)
          .ok());
  EXPECT_EQ(Joined("t-0*"), "one two\none two\n");
  EXPECT_THAT(out_.str(), HasSubstr("t-tokenizer.json: 260 tokens"));
}

TEST_F(MakeRecordsTest, WordPieceIsLearned) {
  Put(&fs_, "in.txt", "The cat\nthe H\xc3\xa4t\nTHE bat\n");
  for (const bool cased : {false, true}) {
    const TextOptions options{
        .input = "in.txt", .tokenizer = "wordpiece", .vocabulary = 60, .cased = cased, .tokens = true};
    ASSERT_TRUE(MakeFromText(&fs_, options, {.out = cased ? "cased" : "plain"}, out_).ok());
    const auto tokenizer = Tokenizer::Load(&fs_, cased ? "cased-tokenizer.json" : "plain-tokenizer.json");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    EXPECT_EQ((*tokenizer)->Find("the").has_value(), true);
    EXPECT_EQ((*tokenizer)->Find("The").has_value(), cased);
    EXPECT_EQ((*tokenizer)->Find("hat").has_value(), !cased);
    EXPECT_EQ((*tokenizer)->Find("H\xc3\xa4t").has_value(), cased);
    EXPECT_TRUE((*tokenizer)->Find("[MASK]").has_value());
  }
}

TEST_F(MakeRecordsTest, OptionsOfTokenizersBelongTogether) {
  Put(&fs_, "in.txt", "one\n");
  for (const TextOptions& options :
       {TextOptions{.input = "in.txt", .tokenizer = "bpe"}, TextOptions{.input = "in.txt", .vocabulary = 300},
        TextOptions{.input = "in.txt", .tokenizer = "wordpiece"},
        TextOptions{.input = "in.txt", .tokenizer = "bpe", .vocabulary = 300, .cased = true},
        TextOptions{.input = "in.txt", .tokens = true}}) {
    EXPECT_EQ(TroubleOf(MakeFromText(&fs_, options, {.out = "t"}, out_)), Trouble::kConfig);
  }
}

}  // namespace
}  // namespace lockstep::data
