#include "runtime/train/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ProgressTest : public ::testing::Test {
 protected:
  std::unique_ptr<Observer> Make(bool live, int columns = 200, int64_t steps_between = 0) {
    ProgressOptions options;
    options.total_steps = 1000;
    options.live = live;
    options.columns = columns;
    options.steps_between = steps_between;
    options.write = [this](absl::string_view text) { absl::StrAppend(&text_, text); };
    options.clock = [this] { return now_; };
    return MakeProgress(options);
  }
  // A step of 0.1 s: a fifth of it communication.
  void Step(Observer* progress, int64_t step) {
    now_ += 0.101;
    StepMetrics metrics;
    metrics.step = step;
    metrics.loss = 0.4312;
    metrics.step_seconds = 0.1;
    metrics.comm_seconds = 0.02;
    metrics.samples_per_second = 640;
    progress->OnStep(metrics, {});
  }
  int Lines() const { return static_cast<int>(std::count(text_.begin(), text_.end(), '\n')); }

  double now_ = 0;
  std::string text_;
};

TEST_F(ProgressTest, APlainLineSaysItAll) {
  auto progress = Make(false);
  Step(progress.get(), 400);
  EXPECT_EQ(text_, "step 400/1000  loss 0.4312  640 samples/s  comm 20 %  data 0 %  ETA 1:00\n");
}

TEST_F(ProgressTest, PlainLinesComeEveryFewSecondsAndAtTheEnd) {
  auto progress = Make(false);
  for (int64_t step = 1; step <= 1000; ++step) Step(progress.get(), step);
  EXPECT_GE(Lines(), 19);  // 100 s of training, a line each 5 s
  EXPECT_LE(Lines(), 22);
  EXPECT_THAT(text_, HasSubstr("step 1/1000"));
  EXPECT_THAT(text_, HasSubstr("step 1000/1000"));
  EXPECT_THAT(text_, Not(HasSubstr("\r")));
}

TEST_F(ProgressTest, PlainLinesComeEverySoManySteps) {
  auto progress = Make(false, 200, 300);
  for (int64_t step = 1; step <= 1000; ++step) Step(progress.get(), step);
  EXPECT_EQ(Lines(), 5) << text_;  // 1, 300, 600, 900, 1000
  EXPECT_THAT(text_, HasSubstr("step 600/1000"));
}

TEST_F(ProgressTest, ANanHasNoSign) {
  auto progress = Make(false);
  StepMetrics metrics;
  metrics.step = 1;
  metrics.loss = -std::nan("");
  progress->OnStep(metrics, {});
  EXPECT_THAT(text_, HasSubstr("loss nan "));
}

TEST_F(ProgressTest, ALiveLineIsCutToTheTerminal) {
  auto progress = Make(true, 20);
  Step(progress.get(), 1);
  EXPECT_EQ(text_, "\r\x1b[Kstep 1/1000  loss 0");
  progress->OnEnd();
  EXPECT_EQ(Lines(), 1);
}

TEST_F(ProgressTest, ALiveLineIsRedrawnInPlace) {
  auto progress = Make(true);
  for (int64_t step = 1; step <= 20; ++step) Step(progress.get(), step);
  EXPECT_EQ(Lines(), 0);
  EXPECT_THAT(text_, HasSubstr("step 20/1000"));
}

TEST_F(ProgressTest, LogLinesClearTheLiveLineFirst) {
  class Into final : public Logger {
   public:
    explicit Into(std::string* text) : text_(text) {}
    void Log(LogLevel, absl::string_view line) override { absl::StrAppend(text_, line, "\n"); }

   private:
    std::string* const text_;
  } into(&text_);
  auto progress = Make(true);
  auto beside = MakeLoggerBeside(progress.get(), &into);
  Step(progress.get(), 1);
  text_.clear();
  beside->Info("checkpoint saved");
  EXPECT_EQ(text_, "\r\x1b[Kcheckpoint saved\n");
  text_.clear();
  beside->Info("again");
  EXPECT_EQ(text_, "again\n");
}

TEST_F(ProgressTest, AValidationIsALineOfItsOwn) {
  auto progress = Make(true);
  progress->OnEval({50, {{"loss", 0.25}, {"accuracy", 0.98}}});
  EXPECT_EQ(text_, "step 50  validation:  loss 0.25  accuracy 0.98\n");
}

}  // namespace
}  // namespace lockstep::train
