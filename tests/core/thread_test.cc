#include "runtime/core/thread.h"

#include <gtest/gtest.h>

#include <cfenv>
#include <limits>
#include <thread>

#include "runtime/core/clock.h"

namespace lockstep {
namespace {

volatile float tiny = std::numeric_limits<float>::min();

TEST(ThreadTest, LaneThreadsFlushDenormals) {
  float result = -1;
  std::thread([&] {
    std::fesetround(FE_UPWARD);
    PrepareLaneThread();
    EXPECT_EQ(std::fegetround(), FE_TONEAREST);
    result = tiny / 2;
  }).join();
  EXPECT_EQ(result, 0);
  EXPECT_GT(tiny / 2, 0) << "this thread was not prepared";
}

TEST(ThreadTest, LaneArithmeticIsBorrowed) {
  {
    const LaneArithmetic lane;
    EXPECT_EQ(tiny / 2, 0);
  }
  EXPECT_GT(tiny / 2, 0);
}

TEST(ThreadTest, ThereIsACore) { EXPECT_GE(AvailableCores(), 1); }

TEST(ClockTest, DeadlinesPass) {
  EXPECT_TRUE(Deadline::After(absl::ZeroDuration()).Passed());
  EXPECT_FALSE(Deadline::Never().Passed());
  EXPECT_EQ(Deadline::After(absl::Seconds(-1)).Left(), absl::ZeroDuration());
  EXPECT_GT(Deadline::After(absl::Hours(1)).Left(), absl::Minutes(59));
}

}  // namespace
}  // namespace lockstep
