// What validation says of the order of the data, and what of it is part of the recipe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/train/config.h"
#include "runtime/train/feed_order.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kDigits[] = R"(
model { name: "mlp" }
data { train: "a*" eval: "b" input { feature: "x" shape: [8] } label { feature: "y" classes: 3 } }
lanes: 8  global_batch: 64  steps: 3
eval {}
)";

RunConfig With(const std::vector<std::string>& settings) {
  RunConfig config = ParseConfig(kDigits, "digits").value();
  for (const std::string& setting : settings) EXPECT_TRUE(ApplySetting(&config, setting).ok()) << setting;
  return config;
}

std::string After(const std::vector<std::string>& settings) {
  const RunConfig config = With(settings);
  const absl::Status status = ValidateConfig(config, 1);
  EXPECT_EQ(status, ValidateConfig(ResolveConfig(config), 1)) << "resolving must not change the verdict";
  return status.ok() ? "valid" : std::string(status.message());
}

constexpr char kMixture[] = "data.mixture=[{train: 'x' weight: 3}, {train: 'y'}]";

TEST(OrderConfig, WhatGoesTogetherIsValid) {
  EXPECT_EQ(After({"data.order=BLOCK_SHUFFLE"}), "valid");
  EXPECT_EQ(After({"data.order=BLOCK_SHUFFLE", "data.block_shuffle.reading_lanes=4"}), "valid");
  EXPECT_EQ(After({"data.last_batch=PAD", "eval.last_batch=DROP"}), "valid");
  RunConfig mixed = With({kMixture, "data.order=BLOCK_SHUFFLE"});
  mixed.mutable_data()->clear_train();
  EXPECT_TRUE(ValidateConfig(mixed, 1).ok()) << ValidateConfig(mixed, 1);
}

TEST(OrderConfig, WhatDoesNotIsNamed) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"data.block_shuffle={}"}, "data.block_shuffle: goes with order: BLOCK_SHUFFLE, not with SHUFFLE"},
      {{"data.order=BLOCK_SHUFFLE", "data.block_shuffle.records=0"}, "data.block_shuffle.records: 0"},
      {{"data.order=BLOCK_SHUFFLE", "data.block_shuffle.window=-1"}, "data.block_shuffle.window: -1"},
      {{"data.order=BLOCK_SHUFFLE", "data.block_shuffle.reading_lanes=3"}, "3 does not divide lanes: 8"},
      {{kMixture}, "data.mixture: takes the place of data.train"},
  };
  for (const auto& [settings, expected] : cases) EXPECT_THAT(After(settings), HasSubstr(expected));
  const std::pair<std::vector<std::string>, const char*> mixtures[] = {
      {{"data.mixture=[{weight: 3}]"}, "data.mixture[0].train: is required"},
      {{"data.mixture=[{train: 'x'}, {train: 'y' weight: 0}]"}, "data.mixture[1].weight: 0"},
      {{"data.mixture=[{train: 'x' weight: 2147483647}, {train: 'y' weight: 2147483647}]"}, "more than 2^31"},
      {{kMixture, "data.last_batch=DROP"}, "data.last_batch: does not go with data.mixture"},
      {{kMixture, "data.order=BLOCK_SHUFFLE", "data.block_shuffle.reading_lanes=2"},
       "reading_lanes: does not go with data.mixture"},
  };
  for (const auto& [settings, expected] : mixtures) {
    RunConfig config = With(settings);
    config.mutable_data()->clear_train();
    EXPECT_THAT(std::string(ValidateConfig(config, 1).message()), HasSubstr(expected));
  }
}

TEST(OrderConfig, FiltersSaySomething) {
  EXPECT_EQ(After({"data.filter=[{feature: 'n' min: 3 max: 7}, {feature: 'lang' value: ['en', 'de']}]"}),
            "valid");
  EXPECT_EQ(After({"data.filter=[{feature: 'n' max_count: 0}]"}), "valid");
  const std::pair<const char*, const char*> cases[] = {
      {"data.filter=[{min: 3}]", "data.filter[0].feature: is required"},
      {"data.filter=[{feature: 'x'}]", "data.filter[0]: says nothing of the feature"},
      {"data.filter=[{feature: 'x' min: 3 max: 2}]", "data.filter[0].min: 3 is above max: 2"},
      {"data.filter=[{feature: 'x' min: nan}]", "data.filter[0]: min and max are numbers"},
      {"data.filter=[{feature: 'x' min_count: -1}]", "data.filter[0].min_count: -1"},
      {"data.filter=[{feature: 'x' min_count: 3 max_count: 2}]", "data.filter[0].max_count: 2"},
  };
  for (const auto& [setting, expected] : cases) EXPECT_THAT(After({setting}), HasSubstr(expected));
  EXPECT_NE(RecipeText(With({"data.filter=[{feature: 'n' min: 3}]"})), RecipeText(With({})));
}

TEST(OrderConfig, DamagedRecords) {
  EXPECT_EQ(After({"data.damaged={policy: MASK}"}), "valid");
  EXPECT_THAT(After({"data.damaged={policy: MASK most: -1}"}), HasSubstr("data.damaged.most: -1"));
  RunConfig text =
      ParseConfig(
          "model { name: 'gpt' } data { train: 'x' text { length: 4 } damaged { policy: MASK } } "
          "global_batch: 8 steps: 1",
          "t")
          .value();
  EXPECT_THAT(std::string(ValidateConfig(text, 1).message()),
              HasSubstr("data.damaged.policy: does not go with data.text"));
}

TEST(OrderConfig, PackedText) {
  const auto after = [](const std::string& text) {
    const RunConfig config = ParseConfig("model { name: 'gpt' } data { train: 'x' text { length: 4 " + text +
                                             " } } global_batch: 8 steps: 1",
                                         "t")
                                 .value();
    const absl::Status status = ValidateConfig(config, 1);
    EXPECT_EQ(status, ValidateConfig(ResolveConfig(config), 1));
    return status.ok() ? "valid" : std::string(status.message());
  };
  EXPECT_EQ(after("packed: true tokens: true vocabulary: 9"), "valid");
  EXPECT_THAT(after("packed: true"), HasSubstr("data.text.packed: is for tokens"));
  EXPECT_THAT(after("packed: true tokens: true vocabulary: 9 stride: 2"),
              HasSubstr("data.text.stride: does not go"));
}

TEST(OrderConfig, IsPartOfTheRecipeButTheFoldersOfAMixtureAreNot) {
  const std::string plain = RecipeText(With({}));
  EXPECT_EQ(RecipeText(With({"data.last_batch=STRADDLE", "eval.last_batch=PAD", "data.damaged={}"})), plain);
  EXPECT_NE(RecipeText(With({"data.last_batch=DROP"})), plain);
  EXPECT_NE(RecipeText(With({"eval.last_batch=DROP"})), plain);
  EXPECT_EQ(RecipeText(With({"data.order=BLOCK_SHUFFLE"})),
            RecipeText(With({"data.order=BLOCK_SHUFFLE", "data.block_shuffle={records: 1024 window: 64}"})));
  const std::string mixed = RecipeText(With({kMixture}));
  EXPECT_THAT(mixed, HasSubstr("weight: 3"));
  EXPECT_THAT(mixed, Not(HasSubstr("'x'")));
  EXPECT_EQ(RecipeText(With({"data.mixture=[{train: 'p' weight: 3}, {train: 'q'}]"})), mixed);
  EXPECT_NE(RecipeText(With({"data.mixture=[{train: 'x' weight: 2}, {train: 'y'}]"})), mixed);
}

TEST(OrderConfig, LastChunkOfAValidation) {
  int64_t records = 50;
  EXPECT_TRUE(DropLastChunk(With({}).eval(), 8, &records).ok());
  EXPECT_EQ(records, 50);
  const EvalConfig drop = With({"eval.last_batch=DROP"}).eval();
  EXPECT_TRUE(DropLastChunk(drop, 8, &records).ok());
  EXPECT_EQ(records, 48);
  EXPECT_THAT(std::string(DropLastChunk(drop, 49, &records).message()),
              HasSubstr("eval.last_batch: 48 validation records"));
}

TEST(OrderConfig, SizesThatDoNotGoTogetherAreNamed) {
  const auto drop = OrderOf(With({"data.last_batch=DROP"}), {63});
  EXPECT_THAT(std::string(drop.status().message()), HasSubstr("63 samples, fewer than global_batch 64"));
  EXPECT_EQ(ExitCodeOf(drop.status()), 2);
  EXPECT_EQ(OrderOf(With({"data.last_batch=PAD"}), {63})->positions(), 64);
}

}  // namespace
}  // namespace lockstep::train
