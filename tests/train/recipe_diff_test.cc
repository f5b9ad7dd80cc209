#include "runtime/train/recipe_diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr char kText[] = R"(
model { layers { layer { conv2d { channels: 32 kernel: 3 } } layer { relu {} } layer { linear { features: 10 } } } }
optimizer: < adamw { lr: 0.001  no_decay: "a \" } b|*.bias" } >  # a comment { that: 1 }
data { shape: [8, 8, 1] }
lanes: 8
)";

TEST(FlattenText, NamesEveryScalar) {
  EXPECT_THAT(
      FlattenText(kText),
      ElementsAre(Pair("model.layers.layer.conv2d.channels", "32"),
                  Pair("model.layers.layer.conv2d.kernel", "3"),
                  Pair("model.layers.layer[2].linear.features", "10"), Pair("optimizer.adamw.lr", "0.001"),
                  Pair("optimizer.adamw.no_decay", R"("a \" } b|*.bias")"), Pair("data.shape", "8"),
                  Pair("data.shape[1]", "8"), Pair("data.shape[2]", "1"), Pair("lanes", "8")));
}

TEST(FlattenText, MalformedTextEndsTheList) {
  for (const char* text : {"}", "{", ": 1", "a: \"open", "a { b: 1", "[[[[", "a [", "\"\\"})
    (void)FlattenText(text);
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "a {";
  EXPECT_THAT(FlattenText(deep), IsEmpty());
  EXPECT_THAT(FlattenText("a: 1 } b: 2"), ElementsAre(Pair("a", "1")));
}

TEST(RecipeDiff, NamesTheFields) {
  const FlatRecipe before = {{"optimizer.adamw.lr", "0.001"}, {"clip_norm", "1"}, {"lanes", "8"}};
  const FlatRecipe after = {{"lanes", "8"}, {"optimizer.adamw.lr", "0.002"}, {"seed", "3"}};
  EXPECT_THAT(RecipeDiff(before, after), ElementsAre("optimizer.adamw.lr: 0.001 -> 0.002",
                                                     "clip_norm: 1 -> (unset)", "seed: (unset) -> 3"));
  EXPECT_THAT(RecipeDiff(before, before), IsEmpty());
}

}  // namespace
}  // namespace lockstep::train
