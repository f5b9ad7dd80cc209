// What validation says of data.image.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/train/config.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;

constexpr char kImages[] = R"(
model { name: "resnet18" }
data {
  train: "a.tfrecord"  eval: "b.tfrecord"
  image {
    shape: [224, 224, 3]
    train { random_resized_crop {} flip: true color_jitter { brightness: 0.4 } }
    eval { resize: 256 }
    mean: [0.485, 0.456, 0.406]  std: [0.229, 0.224, 0.225]
  }
  label { feature: "image/class/label" classes: 1000 } }
lanes: 8  global_batch: 64  steps: 3
)";

std::string After(const std::string& setting) {
  RunConfig config = ParseConfig(kImages, "images").value();
  if (!setting.empty()) {
    EXPECT_TRUE(ApplySetting(&config, setting).ok()) << setting;
  }
  const absl::Status status = ValidateConfig(config, 1);
  EXPECT_EQ(status, ValidateConfig(ResolveConfig(config), 1)) << "resolving must not change the verdict";
  return status.ok() ? "valid" : std::string(status.message());
}

TEST(ImageConfig, ExampleIsValidAndDefaultsAreShown) {
  EXPECT_EQ(After(""), "valid");
  const std::string text = ConfigText(ResolveConfig(ParseConfig(kImages, "images").value()));
  EXPECT_THAT(text, HasSubstr("feature: \"image/encoded\""));
  EXPECT_THAT(text, HasSubstr("min_scale: 0.08"));
  EXPECT_THAT(text, HasSubstr("saturation: 0"));
}

TEST(ImageConfig, WhatIsWrongIsNamed) {
  EXPECT_THAT(After("data.image.shape=[224, 224]"), HasSubstr("data.image.shape: 2 dimensions"));
  EXPECT_THAT(After("data.image.shape=[224, 224, 4]"),
              HasSubstr("data.image.shape: 4 channels; 3 (RGB) or 1"));
  EXPECT_THAT(After("data.image.shape=[0, 224, 3]"), HasSubstr("data.image.shape: 0 is out of range"));
  EXPECT_THAT(After("data.image.shape=[100000, 100000, 3]"), HasSubstr("pixels are too many"));
  EXPECT_THAT(After("data.image.shape=[224, 224, 1]"), HasSubstr("data.image.mean: 3 values for 1 channels"));
  EXPECT_THAT(After("data.image.std=[1, 0, 1]"), HasSubstr("data.image.std: 0 is out of range"));
  EXPECT_THAT(After("data.image.mean=[nan, 0, 1]"), HasSubstr("data.image.mean: nan is not a finite number"));
  EXPECT_THAT(After("data.image.eval.resize=200"),
              HasSubstr("data.image.eval.resize: 200 is below the shape's 224"));
  EXPECT_THAT(After("data.image.train.random_resized_crop.min_scale=0"),
              HasSubstr("data.image.train.random_resized_crop.min_scale: 0 is out of range"));
  EXPECT_THAT(After("data.image.train.random_resized_crop.max_scale=1.5"),
              HasSubstr("max_scale: 1.5 is out of range; it must be at most 1"));
  EXPECT_THAT(After("data.image.train.random_resized_crop.min_ratio=2"), HasSubstr("must be at least 2"));
  EXPECT_THAT(
      After("data.image.train.color_jitter.contrast=-0.1"),
      HasSubstr("data.image.train.color_jitter.contrast: -0.1 is out of range; it must be in [0, 1]"));
  EXPECT_THAT(After("data.image.feature="), HasSubstr("data.image.feature: is required"));
  EXPECT_THAT(After("data.input={feature: \"x\"}"),
              HasSubstr("give one source, not input and label and image and label"));
}

TEST(ImageConfig, AugmentationBelongsToTheRecipe) {
  const RunConfig config = ParseConfig(kImages, "images").value();
  RunConfig other = config;
  other.mutable_data()->mutable_image()->mutable_train()->set_flip(false);
  EXPECT_NE(RecipeHash(config), RecipeHash(other));
}

TEST(ImageConfig, Mixing) {
  EXPECT_EQ(After("data.image.train.mixup={alpha: 0.2}"), "valid");
  EXPECT_EQ(
      After("data.image.train={mixup {alpha: 0.2 probability: 0.5} cutmix {alpha: 1 probability: 0.5}}"),
      "valid");
  const std::pair<const char*, const char*> cases[] = {
      {"data.image.train.mixup={}", "data.image.train.mixup.alpha: is required"},
      {"data.image.train.cutmix={alpha: 0}", "data.image.train.cutmix.alpha: 0"},
      {"data.image.train.cutmix={alpha: nan}", "data.image.train.cutmix.alpha: nan"},
      {"data.image.train.mixup={alpha: 1 probability: 1.5}", "data.image.train.mixup.probability: 1.5"},
      {"data.image.train={mixup {alpha: 1 probability: 0.7} cutmix {alpha: 1 probability: 0.6}}",
       "more than 1 together"},
  };
  for (const auto& [setting, expected] : cases) EXPECT_THAT(After(setting), HasSubstr(expected));
  RunConfig config = ParseConfig(kImages, "images").value();
  ASSERT_TRUE(ApplySetting(&config, "data.image.train.mixup={alpha: 0.2}").ok());
  ASSERT_TRUE(ApplySetting(&config, "accumulate=8").ok());
  EXPECT_THAT(std::string(ValidateConfig(config, 1).message()), HasSubstr("a single picture"));
  ASSERT_TRUE(ApplySetting(&config, "accumulate=1").ok());
  ASSERT_TRUE(ApplySetting(&config, "data.label={feature: 'x' shape: 2}").ok());
  ASSERT_TRUE(ApplySetting(&config, "loss={mean_squared_error {}}").ok());
  EXPECT_THAT(std::string(ValidateConfig(config, 1).message()), HasSubstr("need data.label.classes"));
}

}  // namespace
}  // namespace lockstep::train
