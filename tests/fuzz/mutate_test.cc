// The mutations themselves: inputs are many, differ, can be made again, and go where it hurts.
#include "tests/fuzz/mutate.h"

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

TEST(MutatedInputTest, FindsAPlantedDefect) {
  // A reader that trips over a doubled "lan".
  bool found = false;
  for (uint64_t i = 0; i < 10000 && !found; ++i) {
    const std::string input = MutatedInput(kSeeds, i);
    const size_t first = input.find("lan");
    found = first != std::string::npos && input.find("lan", first + 1) != std::string::npos;
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace lockstep::testing
