#include "runtime/core/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<std::string> kKnown = {"global_batch", "lanes", "steps", "seed"};

TEST(NamesTest, FindsWhatWasMeant) {
  EXPECT_THAT(NearestNames("globl_batch", kKnown), ElementsAre("global_batch"));
  EXPECT_THAT(NearestNames("laens", kKnown), ElementsAre("lanes"));
  EXPECT_THAT(NearestNames("unrelated_thing", kKnown), IsEmpty());
}

TEST(NamesTest, SuggestsOrListsWhatIsKnown) {
  EXPECT_EQ(Suggestion("lane", kKnown), "; did you mean 'lanes'?");
  EXPECT_THAT(Suggestion("quite_another", kKnown), HasSubstr("known: global_batch, lanes, steps, seed"));
}

TEST(NamesTest, PatternsHaveStarsQuestionMarksAndAlternatives) {
  EXPECT_TRUE(MatchesPattern("0.conv2d.bias", "*.bias|*.norm.*"));
  EXPECT_TRUE(MatchesPattern("block.1.norm.weight", "*.bias|*.norm.*"));
  EXPECT_FALSE(MatchesPattern("0.conv2d.weight", "*.bias|*.norm.*"));
  EXPECT_TRUE(MatchesPattern("abc", "a?c"));
  EXPECT_FALSE(MatchesPattern("abbc", "a?c"));
  EXPECT_TRUE(MatchesPattern("aXbXbc", "a*b*bc"));
  EXPECT_FALSE(MatchesPattern("", "?"));
  EXPECT_TRUE(MatchesPattern("", "*"));
}

}  // namespace
}  // namespace lockstep
