// The harness itself: inputs are many, differ, and can be made again.
#include "tests/fuzz/fuzz.h"

#include <set>

#include "gtest/gtest.h"

namespace lockstep::testing {
namespace {

const std::vector<std::string> kSeeds = {"lanes: 8 seed: 1", std::string(100, '\x01')};

TEST(MutatedInputTest, SameNumberSameInput) {
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(MutatedInput(kSeeds, i), MutatedInput(kSeeds, i));
}

TEST(MutatedInputTest, InputsDiffer) {
  std::set<std::string> inputs;
  for (uint64_t i = 0; i < 1000; ++i) inputs.insert(MutatedInput(kSeeds, i));
  EXPECT_GT(inputs.size(), 900u);
}

TEST(MutatedInputTest, EmptySeedIsFine) {
  for (uint64_t i = 0; i < 1000; ++i) MutatedInput({""}, i);
}

TEST(FuzzTest, FindsAPlantedDefect) {
  // A reader that trips over a doubled "lanes": the mutations must get there within the time.
  bool found = false;
  Fuzz("planted", kSeeds, [&](const std::string& input) {
    const size_t first = input.find("lan");
    if (first != std::string::npos && input.find("lan", first + 1) != std::string::npos) found = true;
  });
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace lockstep::testing
