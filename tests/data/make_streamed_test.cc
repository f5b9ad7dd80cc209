#include "runtime/data/make_streamed.h"

#include <sstream>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record_tools.h"
#include "runtime/data/reshard.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class MakeStreamedTest : public ::testing::Test {
 protected:
  // Records 0 .. 9 in four files and a test part of two; fails at item `bad`.
  MakeJob Job(int64_t bad = -1) {
    MakeJob job;
    job.identity = "numbers";
    job.unit = "numbers";
    job.parts = {{"-train", 4, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}, {"-test", 1, {10, 11}}};
    job.record = [this, bad](int64_t item, const MakeJob::Write& write) -> absl::Status {
      if (item == bad) return DataError("no power");
      made_.push_back(item);
      return write(absl::StrCat("record ", item));
    };
    return job;
  }
  absl::Status Make(const MakeJob& job, MakeTarget target = {.out = "d/x", .write_index = true}) {
    out_.str("");
    return MakeStreamed(&fs_, job, target, out_);
  }
  std::string All(const std::string& pattern) {
    std::string all;
    const auto dataset = Dataset::Open(&fs_, {pattern});
    for (int64_t id = 0; dataset.ok() && id < (*dataset)->size(); ++id)
      absl::StrAppend(&all, id > 0 ? "," : "", (*(*dataset)->Record(id)).bytes().substr(7));
    return all;
  }
  std::vector<std::string> Names(const std::string& folder) {
    std::vector<std::string> names;
    const auto files = fs_.List(folder);
    for (const FileInfo& file : *files) names.push_back(file.name);
    return names;
  }
  testing::MemoryFileSystem fs_;
  std::ostringstream out_;
  std::vector<int64_t> made_;
};

TEST_F(MakeStreamedTest, DealsRecordsToFiles) {
  ASSERT_TRUE(Make(Job()).ok());
  EXPECT_EQ(All("d/x-train-*"), "0,1,2,3,4,5,6,7,8,9");
  EXPECT_EQ(All("d/x-train-00000-of-00004.tfrecord"), "0,1,2");
  EXPECT_EQ(All("d/x-train-00003-of-00004.tfrecord"), "8,9");
  EXPECT_EQ(All("d/x-test-*"), "10,11");
  EXPECT_FALSE(fs_.Exists("d/x.making"));
  ASSERT_TRUE(Make(Job(), {.out = "e/x", .shard_records = 4}).ok());
  EXPECT_EQ(All("e/x-train-00002-of-00003.tfrecord"), "8,9");
  ASSERT_TRUE(Make(Job(), {.out = "f/x", .shard_bytes = 60}).ok());
  EXPECT_EQ(All("f/x-train-*"), "0,1,2,3,4,5,6,7,8,9");
}

TEST_F(MakeStreamedTest, GoesOnWhereItWasBrokenOff) {
  EXPECT_THAT(Make(Job(/*bad=*/7)).message(), HasSubstr("no power"));
  EXPECT_EQ(All("d/x-train-00001-of-00004.tfrecord"), "3,4,5");
  EXPECT_FALSE(fs_.Exists("d/x-train-00002-of-00004.tfrecord"));  // never half a file
  made_.clear();
  ASSERT_TRUE(Make(Job()).ok());
  EXPECT_THAT(made_, ElementsAre(6, 7, 8, 9, 10, 11));
  EXPECT_THAT(out_.str(), HasSubstr("d/x-train-00000-of-00004.tfrecord: was finished before"));
  EXPECT_EQ(All("d/x-train-*"), "0,1,2,3,4,5,6,7,8,9");
  testing::MemoryFileSystem calm;
  std::ostringstream quiet;
  ASSERT_TRUE(MakeStreamed(&calm, Job(), {.out = "d/x", .write_index = true}, quiet).ok());
  std::vector<std::string> names;
  const auto files = calm.List("d");
  for (const FileInfo& file : *files) {
    names.push_back(file.name);
    if (!absl::EndsWith(file.name, ".lsidx")) {  // which holds the time
      EXPECT_EQ(*ReadWholeFile(&calm, "d/" + file.name), *ReadWholeFile(&fs_, "d/" + file.name));
    }
  }
  EXPECT_EQ(Names("d"), names);
}

TEST_F(MakeStreamedTest, AnotherJobTakesNothingOfTheOld) {
  EXPECT_FALSE(Make(Job(/*bad=*/11)).ok());
  MakeJob other = Job(/*bad=*/1);
  other.identity = "other numbers";
  EXPECT_FALSE(Make(other).ok());
  EXPECT_FALSE(fs_.Exists("d/x-train-00001-of-00004.tfrecord"));
  made_.clear();
  other = Job();
  other.identity = "other numbers";
  ASSERT_TRUE(Make(other).ok());
  EXPECT_EQ(made_.size(), 12u);
}

TEST_F(MakeStreamedTest, TooFewRecordsForTheFiles) {
  MakeJob job = Job();
  job.parts[0].shards = 11;
  EXPECT_EQ(TroubleOf(Make(job)), Trouble::kConfig);
  EXPECT_THAT(Make(job).message(), HasSubstr("10 numbers cannot fill 11 files"));
}

TEST_F(MakeStreamedTest, ReshardsAndMerges) {
  ASSERT_TRUE(Make(Job()).ok());
  ASSERT_TRUE(ReshardRecords(&fs_, {"d/x-train-*"}, std::nullopt, {.out = "e/y", .shards = 3}, out_).ok());
  EXPECT_EQ(All("e/y-00000-of-00003.tfrecord"), "0,1,2,3");
  EXPECT_EQ(All("e/y-*"), "0,1,2,3,4,5,6,7,8,9");
  ASSERT_TRUE(
      ReshardRecords(&fs_, {"e/y-*"}, 5, {.out = "e/z", .shards = 2, .compression = Compression::kZstd}, out_)
          .ok());
  const std::string shuffled = All("e/z-*");
  EXPECT_NE(shuffled, All("e/y-*"));
  EXPECT_EQ(shuffled.size(), All("e/y-*").size());
  ASSERT_TRUE(MergeRecords(&fs_, {"e/z-*"}, "f/all.tfrecord", Compression::kNone, out_).ok());
  EXPECT_EQ(All("f/all.tfrecord"), shuffled);
  EXPECT_THAT(MergeRecords(&fs_, {"f/all.tfrecord"}, "f/all.tfrecord", Compression::kNone, out_).message(),
              HasSubstr("is one of the files that are read"));
  EXPECT_THAT(ReshardRecords(&fs_, {"e/y-*"}, std::nullopt, {.out = "e/y", .shards = 3}, out_).message(),
              HasSubstr("is one of the files that are read"));
  EXPECT_EQ(All("e/y-*"), "0,1,2,3,4,5,6,7,8,9");
}

TEST_F(MakeStreamedTest, DamageIsNotCopied) {
  std::string bytes = FileOf({"good", "bad", "good"});
  bytes[20 + 12 + 1] ^= 1;
  Put(&fs_, "f", bytes);
  EXPECT_THAT(MergeRecords(&fs_, {"f"}, "g", Compression::kNone, out_).message(),
              HasSubstr("record 1: the payload"));
  EXPECT_FALSE(fs_.Exists("g"));
}

TEST_F(MakeStreamedTest, PrintsOnlyWhatIsAskedFor) {
  Put(&fs_, "f",
      FileOf({ExampleMaker().Ints("label", {3}).Bytes("name", "ann").Floats("x", {0.1f}).Serialize(),
              ExampleMaker().Ints("label", {4, 9}).Bytes("name", "bob").Serialize(),
              ExampleMaker().Ints("label", {9}).Bytes("name", "cyd").Floats("x", {-2}).Serialize()}));
  const auto names = [&](const std::vector<std::string>& where, int64_t limit = -1) {
    std::ostringstream out;
    const absl::Status status = CatRecords(&fs_, {"f"}, {.limit = limit, .where = where}, out);
    if (!status.ok()) return std::string(status.message());
    std::string found;
    for (const std::string name : {"ann", "bob", "cyd"})
      found += out.str().find(name) != std::string::npos ? name.substr(0, 1) : "";
    return found;
  };
  EXPECT_EQ(names({}), "abc");
  EXPECT_EQ(names({"label=9"}), "bc");
  EXPECT_EQ(names({"label=9"}, 1), "b");
  EXPECT_EQ(names({"label!=9"}), "a");
  EXPECT_EQ(names({"label>3", "name<c"}), "b");
  EXPECT_EQ(names({"x=0.1"}), "a");
  EXPECT_EQ(names({"x<=-2"}), "c");
  EXPECT_EQ(names({"x>=0"}), "a");
  EXPECT_EQ(names({"none=1"}), "");
  EXPECT_EQ(names({"none!=1"}), "abc");
  EXPECT_EQ(names({"name=bob"}), "b");
  for (const std::string bad : {"label", "=3", "", "label~3", "label!3"})
    EXPECT_THAT(names({bad}), HasSubstr("FEATURE=VALUE")) << bad;
}

}  // namespace
}  // namespace lockstep::data
