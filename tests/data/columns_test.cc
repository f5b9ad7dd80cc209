#include <fstream>

#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/data/columns/column_source.h"
#include "runtime/data/columns/column_transform.h"
#include "runtime/data/columns/fingerprint64.h"
#include "runtime/data/example_wire.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;
using ::testing::Pointwise;

nlohmann::json Golden() {
  std::ifstream file(LOCKSTEP_SOURCE_DIR "/tests/testing/golden/feature_columns.json");
  return nlohmann::json::parse(file);
}

// The bytes that scripts/golden/make_feature_columns.py hashes.
std::string Text(uint64_t size) {
  uint64_t state = 12345 + size;
  std::string bytes;
  for (uint64_t i = 0; i < size; ++i) {
    state = (state * 1103515245 + 12345) % (uint64_t{1} << 31);
    bytes.push_back(static_cast<char>(state >> 16));
  }
  return bytes;
}

TEST(Fingerprint64Test, IsTensorFlows) {
  const nlohmann::json golden = Golden();
  for (const auto& [size, hash] : golden["fingerprints"].items())
    EXPECT_EQ(absl::StrFormat("%016x", Fingerprint64(Text(std::stoul(size)))), hash.get<std::string>())
        << size;
  for (const auto& [word, hash] : golden["words"].items())
    EXPECT_EQ(absl::StrFormat("%016x", Fingerprint64(word)), hash.get<std::string>()) << word;
}

struct Applied {
  std::vector<float> dense;
  std::vector<int32_t> ids;
  std::vector<float> weights;
};
absl::StatusOr<Applied> Apply(const std::vector<ColumnSpec>& columns, const std::string& record) {
  ASSIGN_OR_RETURN(const ColumnTransform transform, ColumnTransform::Create(columns));
  Applied applied;
  applied.dense.resize(transform.layout().dense, 77);
  applied.ids.resize(transform.layout().slots, 77);
  applied.weights.resize(transform.layout().slots, 77);
  ColumnTransform::Scratch scratch;
  RETURN_IF_ERROR(
      transform.Apply(record, &scratch, applied.dense.data(), applied.ids.data(), applied.weights.data()));
  return applied;
}
std::string ErrorOf(const std::vector<ColumnSpec>& columns, const std::string& record) {
  return std::string(Apply(columns, record).status().message());
}

TEST(ColumnsTest, AgreeWithTensorFlow) {
  const ColumnSpec words = {.name = "word",
                            .feature = "word",
                            .kind = ColumnKind::kVocabulary,
                            .vocabulary = {"red", "green", "blue"},
                            .unknown_buckets = 2};
  ColumnSpec known = words;
  known.name = "known";
  known.vocabulary = {"blue", "red"};
  known.unknown_buckets = 0;
  const ColumnSpec buckets = {
      .name = "xs", .feature = "x", .kind = ColumnKind::kBuckets, .boundaries = {-1, 1, 2}};
  const auto hashed = [](const char* feature, int64_t rows) {
    return ColumnSpec{.name = "h", .feature = feature, .kind = ColumnKind::kHashed, .rows = rows};
  };
  const auto crossed = [](std::vector<std::string> keys, int64_t rows) {
    return ColumnSpec{.name = "c", .kind = ColumnKind::kCrossed, .rows = rows, .keys = std::move(keys)};
  };
  const ColumnSpec normalised = {.name = "n", .feature = "x", .mean = {0.75}, .std = {2.5}};
  // The last of each is what is compared; the ones before it are its keys.
  const std::map<std::string, std::vector<ColumnSpec>> all = {
      {"vocabulary_unknown", {words}},
      {"vocabulary", {known}},
      {"hashed", {hashed("word", 5)}},
      {"hashed_numbers", {hashed("number", 7)}},
      {"buckets", {buckets}},
      {"normalised", {normalised}},
      {"crossed_words_buckets", {buckets, crossed({"word", "xs"}, 11)}},
      {"crossed_number_word", {crossed({"number", "word"}, 13)}},
      {"crossed_three", {buckets, crossed({"word", "number", "xs"}, 17)}},
      {"crossed_vocabulary", {known, buckets, crossed({"known", "xs"}, 19)}}};
  const nlohmann::json golden = Golden();
  ASSERT_EQ(golden["columns"].size(), all.size());
  for (size_t row = 0; row < golden["features"]["word"].size(); ++row) {
    ExampleMaker maker;
    const std::string word = golden["features"]["word"][row][0];
    if (!word.empty()) maker.Bytes("word", word);
    maker.Ints("number", golden["features"]["number"][row]).Floats("x", golden["features"]["x"][row]);
    for (const auto& [name, columns] : all) {
      const auto applied = Apply(columns, maker.Serialize());
      ASSERT_TRUE(applied.ok()) << name << applied.status();
      const std::vector<float> expected = golden["columns"][name][row];
      ASSERT_GE(applied->dense.size(), expected.size());
      EXPECT_THAT(std::vector<float>(applied->dense.end() - expected.size(), applied->dense.end()),
                  Pointwise(FloatEq(), expected))
          << name << ", row " << row;
    }
  }
}

TEST(ColumnsTest, NumbersAreScaledEachByItsOwn) {
  const std::string record = ExampleMaker().Floats("x", {2007, 3}).Ints("n", {99}).Serialize();
  const ColumnSpec x = {.name = "x", .feature = "x", .length = 2, .mean = {2006, 1}, .std = {0.5, 4}};
  const ColumnSpec n = {.name = "n", .feature = "n", .log = true};
  EXPECT_THAT(Apply({x, n}, record)->dense, ElementsAre(2, 0.5, FloatEq(4.6051702f)));
  ColumnSpec missing = {.name = "m", .feature = "m", .length = 2, .missing = 5};
  EXPECT_THAT(Apply({missing}, record)->dense, ElementsAre(5, 5));
  missing.missing.reset();
  EXPECT_THAT(ErrorOf({missing}, record),
              AllOf(HasSubstr("column 'm'"), HasSubstr("is not there; give `missing`")));
  EXPECT_THAT(ErrorOf({{.name = "x", .feature = "x"}}, record), HasSubstr("has 2 numbers; wanted 1"));
  EXPECT_THAT(ErrorOf({n}, ExampleMaker().Ints("n", {-1}).Serialize()),
              HasSubstr("log(1 + x) cannot be taken"));
}

TEST(ColumnsTest, SeveralCategoriesAreCountedOrWeighed) {
  const std::string record = ExampleMaker().Ints("c", {2, 0, 2, 9}).Serialize();
  ColumnSpec column = {.name = "c",
                       .feature = "c",
                       .kind = ColumnKind::kVocabulary,
                       .length = 5,
                       .vocabulary = {"0", "1", "2"}};
  EXPECT_THAT(Apply({column}, record)->dense, ElementsAre(1, 0, 2));
  column.use = ColumnUse::kTable;
  column.width = 3;
  const auto applied = Apply({column}, record);
  EXPECT_THAT(applied->ids, ElementsAre(2, 0, 2, 0, 0));
  EXPECT_THAT(applied->weights, ElementsAre(1 / 3.0f, 1 / 3.0f, 1 / 3.0f, 0, 0));
  column.combiner = Combiner::kSum;
  EXPECT_THAT(Apply({column}, record)->weights, ElementsAre(1, 1, 1, 0, 0));
  column.combiner = Combiner::kSqrtN;
  EXPECT_THAT(Apply({column}, record)->weights[0], FloatEq(0.57735026f));
  EXPECT_THAT(Apply({column}, ExampleMaker().Serialize())->weights, ElementsAre(0, 0, 0, 0, 0));
  column.length = 3;
  EXPECT_THAT(ErrorOf({column}, record), HasSubstr("has 4 values; there is room for length: 3"));
}

TEST(ColumnsTest, ManyMoreValuesThanWantedAreCountedNotKept) {
  const std::string record = ExampleMaker().Ints("c", std::vector<int64_t>(1000000, 1)).Serialize();
  const ColumnSpec column = {.name = "c", .feature = "c", .kind = ColumnKind::kIdentity, .rows = 3};
  EXPECT_THAT(ErrorOf({column}, record), HasSubstr("has 1000000 values; there is room for length: 1"));
  FeatureValues values;
  values.limit = 4;
  Entries entries;
  ASSERT_TRUE(FindEntries(record, kFeaturesField, {{.name = "c", .type = {}}}, &entries));
  ASSERT_TRUE(values.ReadEntry(entries[0]));
  EXPECT_EQ(values.count, 1000000u);
  EXPECT_EQ(values.integers.size(), 4u);
}

TEST(ColumnsTest, IdentityIsChecked) {
  const ColumnSpec column = {.name = "c", .feature = "c", .kind = ColumnKind::kIdentity, .rows = 3};
  EXPECT_THAT(Apply({column}, ExampleMaker().Ints("c", {2}).Serialize())->dense, ElementsAre(0, 0, 1));
  EXPECT_THAT(ErrorOf({column}, ExampleMaker().Ints("c", {3}).Serialize()), HasSubstr("is 3, not in [0, 3)"));
  EXPECT_THAT(ErrorOf({column}, ExampleMaker().Bytes("c", "2").Serialize()), HasSubstr("ids are integers"));
  EXPECT_THAT(ErrorOf({column}, ExampleMaker().Floats("c", {2}).Serialize()), HasSubstr("holds floats"));
}

TEST(ColumnsTest, CrossesAreOfAllCombinations) {
  const std::string record = ExampleMaker().Ints("a", {1, 2}).Bytes("b", "x").Bytes("b", "y").Serialize();
  const ColumnSpec cross = {.name = "c",
                            .kind = ColumnKind::kCrossed,
                            .length = 2,
                            .rows = 1000,
                            .keys = {"a", "b"},
                            .use = ColumnUse::kLinear};
  const auto id = [](uint64_t a, const char* b) { return Cross({a, Fingerprint64(b)}, 1000); };
  const auto applied = Apply(
      {cross, {.name = "one", .feature = "a", .kind = ColumnKind::kHashed, .length = 2, .rows = 3}}, record);
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_THAT(applied->ids, ElementsAre(id(1, "x"), id(1, "y"), id(2, "x"), id(2, "y")));
  EXPECT_THAT(applied->weights, ElementsAre(1, 1, 1, 1));
}

TEST(ColumnsTest, WhatCannotBeIsAConfigError) {
  const ColumnSpec good = {.name = "x", .feature = "x"};
  const auto wrong = [&](auto change) {
    ColumnSpec column = good;
    change(&column);
    return TroubleOf(CheckColumns({column})) == Trouble::kConfig;
  };
  EXPECT_FALSE(wrong([](ColumnSpec*) {}));
  EXPECT_TRUE(wrong([](ColumnSpec* c) { c->std = {0}; }));
  EXPECT_TRUE(wrong([](ColumnSpec* c) { c->mean = {1, 2, 3}; }));
  EXPECT_TRUE(wrong([](ColumnSpec* c) { c->length = 0; }));
  EXPECT_TRUE(wrong([](ColumnSpec* c) { c->kind = ColumnKind::kBuckets; }));
  EXPECT_TRUE(wrong([](ColumnSpec* c) { c->kind = ColumnKind::kHashed; }));
  EXPECT_TRUE(wrong([](ColumnSpec* c) {
    *c = {.name = "b", .feature = "b", .kind = ColumnKind::kBuckets, .boundaries = {1, 1}};
  }));
  EXPECT_TRUE(wrong([](ColumnSpec* c) {
    *c = {.name = "h", .feature = "h", .kind = ColumnKind::kHashed, .rows = 5, .use = ColumnUse::kLinear};
  }));
  EXPECT_TRUE(wrong([](ColumnSpec* c) {
    *c = {.name = "v", .feature = "v", .kind = ColumnKind::kVocabulary, .vocabulary = {"a", "a"}};
  }));
  EXPECT_EQ(TroubleOf(CheckColumns({good, good})), Trouble::kConfig);
  EXPECT_EQ(TroubleOf(CheckColumns(
                {good, {.name = "c", .kind = ColumnKind::kCrossed, .rows = 3, .keys = {"x", "y"}}})),
            Trouble::kConfig);
}

TEST(ColumnSourceTest, InputsAndErrorsWithTheirPlace) {
  lockstep::testing::MemoryFileSystem fs;
  Put(&fs, "f",
      FileOf({ExampleMaker().Floats("x", {1}).Ints("c", {1}).Ints("label", {0}).Serialize(),
              ExampleMaker().Floats("x", {2}).Ints("c", {7}).Ints("label", {1}).Serialize()}));
  const std::vector<std::string> files = {"f"};
  const auto dataset = Dataset::Open(&fs, files);
  const FeatureSpec label = {.name = "label", .type = {DType::kI64, {}}, .classes = 2};
  std::vector<ColumnSpec> columns = {{.name = "x", .feature = "x"},
                                     {.name = "c",
                                      .feature = "c",
                                      .kind = ColumnKind::kIdentity,
                                      .rows = 3,
                                      .use = ColumnUse::kTable,
                                      .width = 2}};
  const auto source = MakeColumnSource(*dataset, columns, label);
  ASSERT_TRUE(source.ok()) << source.status();
  std::vector<std::string> names;
  for (const InputSpec& input : (*source)->inputs()) names.push_back(input.name);
  EXPECT_THAT(names, ElementsAre("columns", "label", "columns.ids", "columns.weights"));
  float dense = 0, weight = 0;
  int64_t answer = 0;
  int32_t id = 0;
  std::byte* const outputs[] = {reinterpret_cast<std::byte*>(&dense), reinterpret_cast<std::byte*>(&answer),
                                reinterpret_cast<std::byte*>(&id), reinterpret_cast<std::byte*>(&weight)};
  EXPECT_THAT(
      std::string((*source)->Decode(1, outputs).message()),
      AllOf(HasSubstr("f, byte "), HasSubstr(", record 1: column 'c': feature 'c' is 7, not in [0, 3)")));
  columns[0].mean = {0.5};
  EXPECT_NE((*MakeColumnSource(*dataset, columns, label))->fingerprint(), (*source)->fingerprint());
}

}  // namespace
}  // namespace lockstep::data
