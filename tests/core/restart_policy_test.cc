#include "runtime/core/restart_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(RestartPolicyTest, OnlyWhatAnotherTryMayMend) {
  for (const int code : {4, 137, 139, 134}) EXPECT_TRUE(RestartPolicy().OnEnd(code, 0, 1).restart) << code;
  for (const int code : {0, 1, 2, 3, 5, 6, 130, 143}) {
    const RestartDecision decision = RestartPolicy().OnEnd(code, 0, 1);
    EXPECT_FALSE(decision.restart) << code;
    EXPECT_THAT(decision.why, HasSubstr("another try"));
  }
}

TEST(RestartPolicyTest, DelaysDoubleUpToTheLongestAndBeginAnewAfterACalmRun) {
  RestartPolicy policy({.most_restarts = 100});
  std::vector<double> delays;
  for (int i = 0; i < 8; ++i) delays.push_back(policy.OnEnd(137, i, 1).delay_seconds);
  EXPECT_THAT(delays, ElementsAre(1, 2, 4, 8, 16, 32, 60, 60));
  EXPECT_EQ(policy.OnEnd(4, 400, 300).delay_seconds, 1);
  EXPECT_EQ(policy.OnEnd(4, 401, 299).delay_seconds, 2);
  EXPECT_EQ(policy.restarts(), 10);
}

TEST(RestartPolicyTest, SoManyInAWindow) {
  RestartPolicy policy({.most_restarts = 2, .window_seconds = 100});
  EXPECT_TRUE(policy.OnEnd(137, 0, 1).restart);   // at 1
  EXPECT_TRUE(policy.OnEnd(137, 10, 1).restart);  // at 12
  const RestartDecision third = policy.OnEnd(137, 100, 1);
  EXPECT_FALSE(third.restart);
  EXPECT_THAT(third.why, HasSubstr("after 2 restarts within 100 s"));
  EXPECT_TRUE(policy.OnEnd(137, 102, 1).restart) << "the first has left the window";
  EXPECT_FALSE(policy.OnEnd(137, 103, 1).restart);
  EXPECT_FALSE(RestartPolicy({.most_restarts = 0}).OnEnd(137, 0, 1).restart);
}

}  // namespace
}  // namespace lockstep
