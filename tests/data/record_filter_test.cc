#include "runtime/data/record_filter.h"

#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/dataset.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

bool Taken(const std::vector<RecordCondition>& conditions, const ExampleMaker& example) {
  const auto holds = RecordFilter(conditions).Takes(example.Serialize());
  EXPECT_TRUE(holds.ok()) << holds.status();
  return holds.value_or(false);
}

TEST(RecordCondition, NumbersInARange) {
  const std::vector<RecordCondition> range = {{.feature = "x", .least = 2, .most = 5}};
  EXPECT_TRUE(Taken(range, ExampleMaker().Ints("x", {2})));
  EXPECT_TRUE(Taken(range, ExampleMaker().Ints("x", {2, 5, 3})));
  EXPECT_FALSE(Taken(range, ExampleMaker().Ints("x", {2, 6})));
  EXPECT_TRUE(Taken(range, ExampleMaker().Floats("x", {4.5f})));
  EXPECT_FALSE(Taken(range, ExampleMaker().Floats("x", {5.5f})));
  EXPECT_FALSE(Taken(range, ExampleMaker().Floats("x", {std::numeric_limits<float>::quiet_NaN()})));
  EXPECT_FALSE(Taken(range, ExampleMaker().Floats("x", {})));
  EXPECT_FALSE(Taken(range, ExampleMaker().Bytes("x", "3")));
  EXPECT_FALSE(Taken(range, ExampleMaker().Ints("y", {3})));
  EXPECT_TRUE(Taken({{.feature = "x", .most = 5}}, ExampleMaker().Ints("x", {-7})));
}

TEST(RecordCondition, OneOfSeveralValues) {
  const std::vector<RecordCondition> values = {{.feature = "x", .values = {"en", "7"}}};
  EXPECT_TRUE(Taken(values, ExampleMaker().Bytes("x", "en")));
  EXPECT_FALSE(Taken(values, ExampleMaker().Bytes("x", "de")));
  EXPECT_TRUE(Taken(values, ExampleMaker().Ints("x", {7})));
  EXPECT_FALSE(Taken(values, ExampleMaker().Ints("x", {7, 7})));
  EXPECT_FALSE(Taken(values, ExampleMaker().Floats("x", {7})));
  EXPECT_FALSE(Taken(values, ExampleMaker()));
}

TEST(RecordCondition, HowManyValues) {
  const std::vector<RecordCondition> count = {{.feature = "x", .least_count = 1, .most_count = 2}};
  EXPECT_FALSE(Taken(count, ExampleMaker()));
  EXPECT_TRUE(Taken(count, ExampleMaker().Floats("x", {1, 2})));
  EXPECT_FALSE(Taken(count, ExampleMaker().Floats("x", {1, 2, 3})));
  EXPECT_TRUE(Taken({{.feature = "x", .most_count = 0}}, ExampleMaker()));
}

TEST(RecordCondition, AllMustHold) {
  const std::vector<RecordCondition> both = {{.feature = "x", .least = 2}, {.feature = "y", .values = {"a"}}};
  EXPECT_TRUE(Taken(both, ExampleMaker().Ints("x", {2}).Bytes("y", "a")));
  EXPECT_FALSE(Taken(both, ExampleMaker().Ints("x", {1}).Bytes("y", "a")));
  EXPECT_FALSE(Taken(both, ExampleMaker().Ints("x", {2})));
  EXPECT_TRUE(Taken({}, ExampleMaker()));
  const std::vector<RecordCondition> same = {{.feature = "x", .least = 2},
                                             {.feature = "x", .values = {"2", "3"}}};
  EXPECT_TRUE(Taken(same, ExampleMaker().Ints("x", {3})));
  EXPECT_FALSE(Taken(same, ExampleMaker().Ints("x", {4})));
  EXPECT_FALSE(Taken(same, ExampleMaker().Ints("x", {1})));
  EXPECT_EQ(TroubleOf(RecordFilter(both).Takes("\xff").status()), Trouble::kData);
}

TEST(KeptRecords, FindsEachOfThem) {
  for (const int64_t size : {1, 63, 64, 65, 4095, 4096, 4097, 20000}) {
    for (const int64_t every : {1, 2, 3, 100, 5000}) {
      for (const int threads : {1, 3}) {
        const auto kept =
            *KeptRecords::Choose(size, threads, [&](int64_t i) { return i % every == every - 1; });
        ASSERT_EQ(kept.size(), size / every);
        for (int64_t k = 0; k < kept.size(); ++k) ASSERT_EQ(kept.At(k), k * every + every - 1) << size;
      }
    }
  }
}

TEST(KeptRecords, ErrorsComeThrough) {
  const auto kept = KeptRecords::Choose(10000, 2, [](int64_t i) -> absl::StatusOr<bool> {
    if (i == 77) return DataError("record 77");
    return true;
  });
  EXPECT_THAT(std::string(kept.status().message()), HasSubstr("record 77"));
}

// Ids, descriptions and places of a data set count the records that are used; its fingerprint is that of the
// files.
TEST(FilteredDataset, HoldsTheRecordsThatAreTaken) {
  testing::MemoryFileSystem fs;
  std::vector<std::string> first, second;
  for (int64_t i = 0; i < 10; ++i)
    (i < 6 ? first : second).push_back(ExampleMaker().Ints("x", {i}).Serialize());
  Put(&fs, "a", FileOf(first));
  Put(&fs, "b", FileOf(second));
  const auto all = *Dataset::Open(&fs, {"a", "b"});
  const auto some = *Dataset::Open(&fs, {"a", "b"}, {.filter = {{.feature = "x", .least = 3, .most = 7}}});
  ASSERT_EQ(some->size(), 5);
  EXPECT_EQ(some->records(), 10);
  EXPECT_EQ(some->fingerprint(), all->fingerprint());
  for (int64_t id = 0; id < 5; ++id) {
    EXPECT_EQ(*some->Record(id), *all->Record(id + 3));
    EXPECT_EQ(some->Describe(id), all->Describe(id + 3));
    EXPECT_EQ(some->Place(id), all->Place(id + 3));
  }
  EXPECT_EQ(some->Describe(3), "b, record 0");
  const auto none = Dataset::Open(&fs, {"a"}, {.filter = {{.feature = "x", .least = 30}}});
  EXPECT_EQ(TroubleOf(none.status()), Trouble::kData);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("a: none of the 6 records"));
}

TEST(FilteredDataset, ADamagedRecordStays) {
  testing::MemoryFileSystem fs;
  std::vector<std::string> payloads;
  for (int64_t i = 0; i < 4; ++i) payloads.push_back(ExampleMaker().Ints("x", {i}).Serialize());
  std::string bytes = FileOf(payloads);
  bytes[14] ^= 1;
  Put(&fs, "a", bytes);
  const auto some = *Dataset::Open(&fs, {"a"}, {.filter = {{.feature = "x", .least = 2}}});
  EXPECT_EQ(some->size(), 3);  // its turn says what becomes of it
  EXPECT_FALSE(some->Record(0).ok());
}

}  // namespace
}  // namespace lockstep::data
