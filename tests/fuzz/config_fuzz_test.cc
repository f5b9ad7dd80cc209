// Run configurations from anywhere: refused with exit code 2, or understood; never a crash.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/train/config.h"
#include "tests/fuzz/fuzz.h"

namespace lockstep::train {
namespace {

std::vector<std::string> Examples() {
  std::vector<std::string> texts;
  for (const char* name :
       {"digits_mlp", "digits_cnn", "text_gpt", "own_model", "penguins", "bench/resnet18"}) {
    std::ostringstream text;
    text << std::ifstream(std::string(LOCKSTEP_SOURCE_DIR) + "/examples/" + name + ".textproto").rdbuf();
    texts.push_back(text.str());
  }
  return texts;
}

TEST(ConfigFuzzTest, TextIsRefusedOrUnderstood) {
  const std::vector<std::string> seeds = Examples();
  for (const std::string& seed : seeds) ASSERT_TRUE(ParseConfig(seed, "example").ok());
  testing::Fuzz("config", seeds, [](const std::string& input) {
    const absl::StatusOr<RunConfig> config = ParseConfig(input, "input");
    const absl::Status status = config.ok() ? ValidateConfig(*config, 2) : config.status();
    if (!status.ok()) {
      EXPECT_EQ(ExitCodeOf(status), 2) << status;
      return;
    }
    const RunConfig resolved = ResolveConfig(*config);
    EXPECT_EQ(ConfigText(ResolveConfig(resolved)), ConfigText(resolved));
    const absl::StatusOr<RunConfig> again = ParseConfig(ConfigText(resolved), "resolved");
    ASSERT_TRUE(again.ok()) << again.status() << "\n" << ConfigText(resolved);
    EXPECT_EQ(RecipeHash(*again), RecipeHash(*config));
  });
}

TEST(ConfigFuzzTest, SettingsAreRefusedOrApplied) {
  const absl::StatusOr<RunConfig> example = ParseConfig(Examples()[1], "example");
  ASSERT_TRUE(example.ok());
  testing::Fuzz(
      "setting",
      {"lanes=16", "model.layers.layer[0].repeat.times=3", "optimizer={sgd {lr: 0.1}}",
       "data.train=a*.tfrecord", "execution.checkpoint.every_steps=10", "model.mlp.hidden=[256, 128]"},
      [&](const std::string& input) {
        RunConfig config = *example;
        const absl::Status status = ApplySetting(&config, input);
        if (!status.ok()) {
          EXPECT_EQ(ExitCodeOf(status), 2) << status;
        }
      });
}

}  // namespace
}  // namespace lockstep::train
