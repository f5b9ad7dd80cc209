#include "runtime/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lockstep::train {
namespace {

TEST(ScheduleTest, ConstantIsOne) {
  ScheduleConfig schedule;
  schedule.mutable_constant();
  for (int step : {0, 1, 99, 1000}) EXPECT_EQ(ScheduleFactor(schedule, step, 100), 1);
}

TEST(ScheduleTest, WarmupRisesToOneAtItsLastStep) {
  ScheduleConfig schedule;
  schedule.mutable_cosine()->set_warmup_steps(4);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 0, 20), 0.25);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 3, 20), 1);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 4, 20), 1);
  EXPECT_LT(ScheduleFactor(schedule, 5, 20), 1);
}

TEST(ScheduleTest, CosineIsHalfWayInTheMiddleAndStaysAtItsEnd) {
  ScheduleConfig schedule;
  schedule.mutable_cosine()->set_final(0.125f);
  EXPECT_NEAR(ScheduleFactor(schedule, 10, 20), 0.125 + 0.875 / 2, 1e-12);
  EXPECT_NEAR(ScheduleFactor(schedule, 20, 20), 0.125, 1e-12);
  EXPECT_NEAR(ScheduleFactor(schedule, 500, 20), 0.125, 1e-12);
}

TEST(ScheduleTest, LinearFallsEvenly) {
  ScheduleConfig schedule;
  schedule.mutable_linear()->set_final(0.5f);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 0, 10), 1);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 5, 10), 0.75);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 10, 10), 0.5);
}

TEST(ScheduleTest, StepFallsAtItsMilestones) {
  ScheduleConfig schedule;
  schedule.mutable_step()->set_gamma(0.5f);
  schedule.mutable_step()->add_milestone(3);
  schedule.mutable_step()->add_milestone(5);
  EXPECT_EQ(ScheduleFactor(schedule, 2, 10), 1);
  EXPECT_EQ(ScheduleFactor(schedule, 3, 10), 0.5);
  EXPECT_EQ(ScheduleFactor(schedule, 5, 10), 0.25);
}

}  // namespace
}  // namespace lockstep::train
