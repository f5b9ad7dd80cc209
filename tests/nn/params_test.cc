#include "runtime/nn/params.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::nn {
namespace {

using ::testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(ModelParams, GivesWhatWasSetAndDefaultsElse) {
  ModelParams params;
  ASSERT_TRUE(params.Set("blocks", 3).ok());
  ASSERT_TRUE(params.Set("rate", 0.25).ok());
  ASSERT_TRUE(params.Set("wide", 1).ok());
  ASSERT_TRUE(params.Set("kind", "deep").ok());
  EXPECT_EQ(params.Int("blocks", 7), 3);
  EXPECT_EQ(params.Int("width", 64), 64);
  EXPECT_EQ(params.Number("rate", 0), 0.25);
  EXPECT_TRUE(params.Flag("wide", false));
  EXPECT_EQ(params.Text("kind", "flat"), "deep");
  EXPECT_EQ(params.Text("other", "flat"), "flat");
  EXPECT_TRUE(params.Check().ok()) << params.Check();
}

TEST(ModelParams, NameGivenTwice) {
  ModelParams params;
  ASSERT_TRUE(params.Set("blocks", 3).ok());
  const absl::Status status = params.Set("blocks", "three");
  EXPECT_EQ(ExitCodeOf(status), 2);
  EXPECT_THAT(Message(status), HasSubstr("'blocks' is given twice"));
}

TEST(ModelParams, FractionWhereAWholeNumberIsWanted) {
  for (const double number : {2.5, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
    ModelParams params;
    ASSERT_TRUE(params.Set("blocks", number).ok());
    EXPECT_EQ(params.Int("blocks", 7), 7);
    EXPECT_THAT(Message(params.Check()), HasSubstr("'blocks': "));
    EXPECT_THAT(Message(params.Check()), HasSubstr("is not a whole number"));
  }
}

TEST(ModelParams, TextWhereANumberIsWanted) {
  ModelParams params;
  ASSERT_TRUE(params.Set("blocks", "three").ok());
  EXPECT_EQ(params.Int("blocks", 7), 7);
  EXPECT_THAT(Message(params.Check()), HasSubstr("'blocks': wants `number`"));
}

TEST(ModelParams, NameThatTheModelNeverAsksForIsNamedWithTheNearest) {
  ModelParams params;
  ASSERT_TRUE(params.Set("blcoks", 3).ok());
  params.Int("blocks", 1);
  params.Int("width", 1);
  EXPECT_EQ(ExitCodeOf(params.Check()), 2);
  EXPECT_THAT(Message(params.Check()), HasSubstr("'blcoks'"));
  EXPECT_THAT(Message(params.Check()), HasSubstr("did you mean 'blocks'"));
}

}  // namespace
}  // namespace lockstep::nn
