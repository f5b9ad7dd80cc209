// What validation says of data.columns and of data.input's newer fields.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/train/config.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTable[] = R"(
model { layers { linear { features: 3 } } }
data {
  train: "a.tfrecord"
  label { feature: "species" classes: 3 }
  columns {
    statistics: "stats.json"
    column { feature: "mass" numeric { normalize: MEAN_STD } }
    column { name: "masses" feature: "mass" buckets { quantiles: 10 } linear {} }
    column { feature: "island" vocabulary {} embedding { width: 2 } }
    column { crossed { key: "island" key: "masses" rows: 64 } linear {} } } }
lanes: 8  global_batch: 64  steps: 3
)";

RunConfig Table() { return ParseConfig(kTable, "table").value(); }

std::string After(const std::string& setting) {
  RunConfig config = Table();
  if (!setting.empty()) {
    EXPECT_TRUE(ApplySetting(&config, setting).ok()) << setting;
  }
  const absl::Status status = ValidateConfig(config, 1);
  EXPECT_EQ(status, ValidateConfig(ResolveConfig(config), 1)) << "resolving must not change the verdict";
  return status.ok() ? "valid" : std::string(status.message());
}

TEST(ColumnsConfig, ExampleIsValid) { EXPECT_EQ(After(""), "valid"); }

TEST(ColumnsConfig, WhatIsWrongIsNamed) {
  const std::string at = "data.columns.column";
  EXPECT_THAT(After("data.columns.statistics="),
              HasSubstr("data.columns.statistics: is required, since " + at + "[0]"));
  EXPECT_THAT(After(at + "[0].feature="), HasSubstr(at + "[0].feature: is required"));
  EXPECT_THAT(After(at + "[0].numeric={normalize: MEAN_STD mean: 1}"),
              HasSubstr("both normalize and mean or std"));
  EXPECT_THAT(After(at + "[0].numeric={std: 0}"), HasSubstr("numeric.std: 0 is out of range"));
  EXPECT_THAT(After(at + "[0].one_hot={}"), HasSubstr("a number goes into the model as it is"));
  EXPECT_THAT(After(at + "[0].length=0"), HasSubstr("length: 0 is out of range"));
  EXPECT_THAT(After(at + "[1].buckets.quantiles=3"), HasSubstr("quantiles: 3 is not 2, 4, 5"));
  EXPECT_THAT(After(at + "[1].buckets={}"), HasSubstr("give either boundary or quantiles"));
  EXPECT_THAT(After(at + "[2].embedding={}"), HasSubstr("embedding.width: is required"));
  EXPECT_THAT(After(at + "[2].vocabulary={value: \"a\" most: 2}"), HasSubstr("both value and most"));
  EXPECT_THAT(After(at + "[2].hashed={}"), HasSubstr("hashed.rows: is required"));
  EXPECT_THAT(After(at + "[3].crossed.key=[\"island\"]"),
              HasSubstr("1 is out of range; it must be at least 2"));
  EXPECT_THAT(After(at + "[3].feature=x"), HasSubstr("a cross has keys"));
  EXPECT_THAT(After("data.columns.column=[{feature: \"x\"}]"), HasSubstr("give its kind"));
  EXPECT_THAT(After("data.input={feature: \"x\" shape: 3}"), HasSubstr("give one source"));
  EXPECT_THAT(After("data.extra=[{feature: \"x\"}]"), HasSubstr("data.extra: goes beside data.input"));
}

TEST(ColumnsConfig, PlaceOfTheStatisticsIsNoPartOfTheRecipe) {
  RunConfig moved = Table();
  ASSERT_TRUE(ApplySetting(&moved, "data.columns.statistics=elsewhere.json").ok());
  EXPECT_EQ(RecipeHash(moved), RecipeHash(Table()));
  RunConfig other = Table();
  ASSERT_TRUE(ApplySetting(&other, "data.columns.column[2].embedding.width=3").ok());
  EXPECT_NE(RecipeHash(other), RecipeHash(Table()));
}

TEST(ColumnsConfig, LeftOutFieldsOfAnInputLeaveItsRecipeAsItWas) {
  const RunConfig config = ParseConfig(R"(data { input { feature: "x" shape: 3 } })", "x").value();
  const std::string text = RecipeText(config);
  for (const char* field : {" type:", " variable:", " pad:", " steps:", " fallback:"})
    EXPECT_THAT(text, Not(HasSubstr(field)));
}

}  // namespace
}  // namespace lockstep::train
