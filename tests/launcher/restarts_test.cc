#include "launcher/restarts.h"

#include <gtest/gtest.h>

namespace lockstep::launcher {
namespace {

TEST(Restarts, WaitLongerEachTimeAndThenGiveUp) {
  RestartLimits limits;
  limits.most = 4;
  limits.first_wait = absl::Seconds(1);
  limits.longest_wait = absl::Seconds(3);
  Restarts restarts;
  EXPECT_EQ(restarts.Next(absl::Seconds(1), limits), absl::Seconds(1));
  EXPECT_EQ(restarts.Next(absl::Seconds(1), limits), absl::Seconds(2));
  EXPECT_EQ(restarts.Next(absl::Seconds(1), limits), absl::Seconds(3));
  EXPECT_EQ(restarts.Next(absl::Seconds(1), limits), absl::Seconds(3));
  EXPECT_EQ(restarts.Next(absl::Seconds(1), limits), std::nullopt);
}

TEST(Restarts, BeginAnewAfterALifeInHealth) {
  RestartLimits limits;
  limits.most = 1;
  Restarts restarts;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(restarts.Next(limits.healthy, limits), limits.first_wait);
  }
  EXPECT_EQ(restarts.Next(absl::ZeroDuration(), limits), std::nullopt);
}

TEST(Restarts, NoneWhereNoneIsAllowed) {
  RestartLimits limits;
  limits.most = 0;
  EXPECT_EQ(Restarts().Next(absl::Hours(1), limits), std::nullopt);
}

}  // namespace
}  // namespace lockstep::launcher
