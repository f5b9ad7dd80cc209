#include "runtime/train/guard.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Action = GuardDecision::Action;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

NumericsConfig Config(const std::string& text) {
  NumericsConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config));
  return config;
}

// A loss that falls and a norm that does not, both with noise.
struct Course {
  std::mt19937 random{5};
  std::normal_distribution<double> noise{0, 1};
  int step = 0;
  double Loss() { return 3 * std::exp(-0.01 * step++) + 0.05 * noise(random); }
  double Norm() { return 2 + 0.1 * noise(random); }
};

TEST(RunningStatisticsTest, AreThoseOfAllValuesAtFirst) {
  RunningStatistics statistics;
  double sum = 0, squares = 0;
  for (int i = 1; i <= 50; ++i) {
    const double value = std::sin(i) + 3;
    sum += value;
    squares += value * value;
    statistics.Add(value, /*window=*/1000);
    EXPECT_NEAR(statistics.mean, sum / i, 1e-12);
    EXPECT_NEAR(statistics.variance, squares / i - sum / i * sum / i, 1e-10);
  }
}

TEST(RunningStatisticsTest, ForgetWhatIsLongPast) {
  RunningStatistics statistics;
  for (int i = 0; i < 100; ++i) statistics.Add(1000, 20);
  for (int i = 0; i < 200; ++i) statistics.Add(i % 2, 20);
  EXPECT_NEAR(statistics.mean, 0.5, 0.05);
  EXPECT_NEAR(statistics.Deviation(), 0.5, 0.05);
}

TEST(RunningStatisticsTest, ASteadyValueMakesNoSpikeOfRounding) {
  RunningStatistics statistics;
  for (int i = 0; i < 100; ++i) statistics.Add(2, 20);
  EXPECT_LT(statistics.ZScore(2.001), 1);
  EXPECT_EQ(statistics.ZScore(1), 0) << "a fall is no spike";
  EXPECT_GT(statistics.ZScore(3), 100);
}

TEST(GuardTest, NotFiniteStopsOrSkips) {
  for (const auto& [loss, norm] : {std::pair(kNan, 1.0), {kInfinity, 1.0}, {1.0, kNan}, {1.0, -kInfinity}}) {
    GuardState state;
    const GuardDecision stop = Judge(Config(""), loss, norm, &state);
    EXPECT_EQ(stop.action, Action::kStop);
    EXPECT_EQ(stop.reason, "nonfinite");
    EXPECT_EQ(Judge(Config("on_nonfinite: SKIP"), loss, norm, &state).action, Action::kSkip);
  }
}

TEST(GuardTest, NotFiniteNeverEntersTheStatistics) {
  const NumericsConfig config = Config("on_nonfinite: SKIP loss { warmup: 4 } grad_norm { warmup: 4 }");
  GuardState state;
  for (int i = 0; i < 10; ++i) Judge(config, 1 + 0.1 * (i % 2), 1, &state);
  Judge(config, 1, kNan, &state);
  Judge(config, kNan, 1, &state);
  EXPECT_EQ(state.loss.count, 10);
  EXPECT_EQ(state.grad_norm.count, 10);
  EXPECT_EQ(Judge(config, 50, 1, &state).reason, "loss_z");
}

TEST(GuardTest, NoiseIsLeftAloneAndSpikesAreFound) {
  const NumericsConfig config = Config("loss {} grad_norm {}");
  GuardState state;
  Course course;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_THAT(Judge(config, course.Loss(), course.Norm(), &state).reason, IsEmpty()) << i;
  }
  const GuardDecision loss = Judge(config, 2, course.Norm(), &state);
  EXPECT_EQ(loss.action, Action::kSkip);
  EXPECT_EQ(loss.reason, "loss_z");
  EXPECT_THAT(loss.message, HasSubstr("the loss 2 is "));
  EXPECT_THAT(loss.message, HasSubstr("numerics.loss.threshold: 6"));
  const GuardDecision norm = Judge(config, course.Loss(), 9, &state);
  EXPECT_EQ(norm.action, Action::kSkip);
  EXPECT_EQ(norm.reason, "grad_norm_z");
  EXPECT_THAT(Judge(config, course.Loss(), course.Norm(), &state).reason, IsEmpty());
}

TEST(GuardTest, NothingIsJudgedBeforeTheWarmUp) {
  const NumericsConfig config = Config("loss { warmup: 8 }");
  GuardState state;
  for (int i = 0; i < 8; ++i) EXPECT_EQ(Judge(config, 1 + 1000 * (i == 4), 1, &state).action, Action::kApply);
  state = GuardState();
  for (int i = 0; i < 8; ++i) Judge(config, 1, 1, &state);
  EXPECT_EQ(Judge(config, 1000, 1, &state).action, Action::kSkip);
}

TEST(GuardTest, TheActionsAreThoseAskedFor) {
  for (const auto& [name, action] :
       {std::pair("WARN", Action::kApply), {"SKIP", Action::kSkip}, {"STOP", Action::kStop}}) {
    const NumericsConfig config = Config(absl::StrCat("grad_norm { warmup: 4 action: ", name, " }"));
    GuardState state;
    for (int i = 0; i < 8; ++i) Judge(config, 1, 1 + 0.1 * (i % 2), &state);
    const GuardDecision decision = Judge(config, 1, 77, &state);
    EXPECT_EQ(decision.action, action);
    EXPECT_EQ(decision.reason, "grad_norm_z");
  }
}

TEST(GuardTest, TheGraverOfTwoDecides) {
  const NumericsConfig config =
      Config("loss { warmup: 4 action: WARN } grad_norm { warmup: 4 action: SKIP }");
  GuardState state;
  for (int i = 0; i < 8; ++i) Judge(config, 1 + 0.1 * (i % 2), 1 + 0.1 * (i % 2), &state);
  const GuardDecision both = Judge(config, 50, 50, &state);
  EXPECT_EQ(both.action, Action::kSkip);
  EXPECT_EQ(both.reason, "grad_norm_z");
  EXPECT_THAT(both.message, HasSubstr("the loss 50"));
}

TEST(GuardTest, ANewLevelIsLearntInTime) {
  const NumericsConfig config = Config("max_skips_in_a_row: 0 loss { window: 16 warmup: 4 }");
  GuardState state;
  for (int i = 0; i < 50; ++i) Judge(config, 1 + 0.01 * (i % 2), 1, &state);
  int skips = 0;
  while (Judge(config, 1.5, 1, &state).action == Action::kSkip) ASSERT_LT(++skips, 100);
  EXPECT_GT(skips, 0);
}

TEST(GuardTest, SkipsInARowAreCapped) {
  const NumericsConfig config = Config("on_nonfinite: SKIP max_skips_in_a_row: 3");
  GuardState state;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Judge(config, kNan, 1, &state).action, Action::kSkip);
    EXPECT_EQ(Judge(config, 1, 1, &state).action, Action::kApply);
  }
  for (int i = 0; i < 3; ++i) Judge(config, kNan, 1, &state);
  const GuardDecision fourth = Judge(config, kNan, 1, &state);
  EXPECT_EQ(fourth.action, Action::kStop);
  EXPECT_THAT(fourth.message, HasSubstr("numerics.max_skips_in_a_row"));
}

TEST(GuardTest, AReplayFromACheckpointDecidesAlike) {
  const NumericsConfig config =
      Config("loss { warmup: 8 window: 32 threshold: 2 } grad_norm { threshold: 2 }");
  GuardState whole;
  Course course;
  for (int i = 0; i < 60; ++i) Judge(config, course.Loss(), course.Norm(), &whole);
  Counters counters;
  whole.AddTo(&counters);
  GuardState stored = GuardState::FromCounters(counters), sent;
  ASSERT_TRUE(GuardState::FromText(whole.ToText(), &sent));
  int remarkable = 0;
  for (int i = 0; i < 300; ++i) {
    const double loss = course.Loss(), norm = course.Norm();
    const GuardDecision expected = Judge(config, loss, norm, &whole);
    EXPECT_EQ(Judge(config, loss, norm, &stored).message, expected.message);
    EXPECT_EQ(Judge(config, loss, norm, &sent).message, expected.message);
    remarkable += !expected.reason.empty();
  }
  EXPECT_GT(remarkable, 3);
}

TEST(GuardTest, ARunWithoutGuardsHasNoneOfItsCounters) {
  Counters counters;
  GuardState state;
  Judge(Config(""), 1, 1, &state);
  state.AddTo(&counters);
  EXPECT_THAT(counters, IsEmpty());
  EXPECT_FALSE(GuardState::FromText("1:2", &state));
}

}  // namespace
}  // namespace lockstep::train
