#include "runtime/train/audience.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;

class Notes final : public Observer {
 public:
  explicit Notes(std::vector<std::string>* out) : out_(out) {}
  void OnStep(const StepMetrics& metrics, absl::Span<const int64_t>) override {
    out_->push_back(absl::StrCat("step ", metrics.step));
  }
  void OnEval(const EvalMetrics& metrics) override { out_->push_back(absl::StrCat("eval ", metrics.step)); }

 private:
  std::vector<std::string>* const out_;
};

TEST(Audience, EachHearsEverythingOnceFromWhereItIs) {
  std::vector<std::string> metrics, ledger;
  Audience audience(nullptr);
  audience.Add(std::make_unique<Notes>(&metrics), {5, 4});
  audience.Add(std::make_unique<Notes>(&ledger), {4, 4});  // its line of step 5 was not written any more
  StepMetrics step;
  step.step = 5;
  audience.OnStep(step, {});
  audience.OnEval({5, {}});
  audience.OnEval({5, {}});
  audience.OnStep(step, {});
  step.step = 6;
  audience.OnStep(step, {});
  EXPECT_THAT(metrics, ElementsAre("eval 5", "step 6"));
  EXPECT_THAT(ledger, ElementsAre("step 5", "eval 5", "step 6"));
}

}  // namespace
}  // namespace lockstep::train
