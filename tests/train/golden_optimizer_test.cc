// Optimizers over several steps, clipping, schedules and the moving average against PyTorch
// (scripts/golden/make_optim.py).
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/optimizer.h"
#include "runtime/train/lane_team.h"
#include "runtime/train/model_state.h"
#include "runtime/train/optimizer.h"
#include "runtime/train/schedule.h"
#include "tests/testing/golden_file.h"

namespace lockstep::train {
namespace {

using ::lockstep::testing::Differs;
using ::lockstep::testing::GoldenCase;
using ::lockstep::testing::GoldenFile;
using ::lockstep::testing::ReadGoldenFile;

constexpr double kTolerance = 1e-6;

const GoldenFile& File() {
  static const auto* file = new absl::StatusOr<GoldenFile>(ReadGoldenFile(LOCKSTEP_SOURCE_DIR, "optim"));
  static const auto* empty = new GoldenFile;
  return file->ok() ? **file : *empty;
}

std::vector<GoldenCase> CasesOf(const std::vector<std::string>& ops) {
  std::vector<GoldenCase> cases;
  for (const GoldenCase& spec : File().cases) {
    if (std::find(ops.begin(), ops.end(), spec.op) != ops.end()) cases.push_back(spec);
  }
  return cases;
}

std::string NameOfCase(const ::testing::TestParamInfo<GoldenCase>& info) { return info.param.name; }

TEST(GoldenOptimizerFile, EveryCaseHasATest) {
  EXPECT_EQ(File().cases.size(), 20u);
  EXPECT_EQ(CasesOf({"sgd", "adamw", "clip_grad_norm", "schedule", "ema"}).size(), File().cases.size());
}

// One parameter for each of `sizes`.
std::shared_ptr<const graph::ParameterLayout> Layout(const std::vector<size_t>& sizes) {
  auto layout = std::make_shared<graph::ParameterLayout>();
  for (const size_t size : sizes) {
    graph::ParameterLayout::Entry entry;
    entry.name = "p" + std::to_string(layout->entries.size());
    entry.shape = Shape{static_cast<int64_t>(size)};
    entry.offset = layout->total_elements;
    entry.elements = size;
    layout->total_elements += RoundUp(size, 16);
    layout->parameter_elements += size;
    layout->entries.push_back(entry);
  }
  return layout;
}

OptimizerConfig ConfigOf(const GoldenCase& spec) {
  OptimizerConfig config;
  const nlohmann::json& a = spec.attributes;
  if (spec.op == "sgd") {
    SgdConfig* sgd = config.mutable_sgd();
    sgd->set_lr(a.at("lr").get<float>());
    sgd->set_momentum(a.value("momentum", 0.0f));
    sgd->set_nesterov(a.value("nesterov", false));
    sgd->set_weight_decay(a.value("weight_decay", 0.0f));
  } else {
    AdamwConfig* adamw = config.mutable_adamw();
    adamw->set_lr(a.at("lr").get<float>());
    adamw->set_beta1(a.value("beta1", 0.9f));
    adamw->set_beta2(a.value("beta2", 0.999f));
    adamw->set_epsilon(a.value("epsilon", 1e-8f));
    adamw->set_weight_decay(a.at("weight_decay").get<float>());
  }
  return config;
}

std::vector<float> Row(const std::vector<float>& rows, size_t row, size_t size) {
  return {rows.begin() + row * size, rows.begin() + (row + 1) * size};
}

class GoldenOptimizer : public ::testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenOptimizer, StepsAsPyTorch) {
  const GoldenCase& spec = GetParam();
  const auto values = [&](const std::string& what) { return File().At(spec.name + "/" + what).Values(); };
  const std::vector<float> start = values("in/p"), gradients = values("in/gradients"),
                           factors = values("in/factors");
  const size_t size = start.size();
  const OptimizerConfig config = ConfigOf(spec);
  const auto layout = Layout({size});
  ModelState state(layout, {}, MomentNames(config), false);
  std::copy(start.begin(), start.end(), state.parameters().begin());
  Optimizer optimizer(config, nullptr, *layout);
  LaneTeam team(2);
  AlignedBuffer<float> gradient(layout->total_elements);
  for (size_t step = 0; step < factors.size(); ++step) {
    // Given as a sum over a batch of weight 4, as the reduction does.
    for (size_t i = 0; i < size; ++i) gradient[i] = 4 * gradients[step * size + i];
    const double lr = optimizer.base_lr() * factors[step];
    optimizer.Update(team, gradient.data(), {0.25, lr, static_cast<int64_t>(step)}, state);
    const std::vector<float> got(state.parameters().begin(), state.parameters().begin() + size);
    EXPECT_EQ(Differs(got, Row(values("out/p"), step, size), kTolerance), "") << "after step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenOptimizer, ::testing::ValuesIn(CasesOf({"sgd", "adamw"})), NameOfCase);

class GoldenClip : public ::testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenClip, CutsAsPyTorch) {
  const GoldenCase& spec = GetParam();
  const auto values = [&](const std::string& what) { return File().At(spec.name + "/" + what).Values(); };
  std::vector<size_t> sizes;
  for (const std::string& input : spec.inputs) sizes.push_back(values("in/" + input).size());
  const auto layout = Layout(sizes);
  AlignedBuffer<float> gradient(layout->total_elements);
  for (size_t i = 0; i < sizes.size(); ++i) {
    const std::vector<float> part = values("in/" + spec.inputs[i]);
    std::copy(part.begin(), part.end(), gradient.data() + layout->entries[i].offset);
  }
  OptimizerConfig config;
  config.mutable_sgd();
  config.set_clip_norm(spec.attributes.at("max_norm").get<float>());
  Optimizer optimizer(config, nullptr, *layout);
  LaneTeam team(2);
  const double norm = optimizer.Norm(team, gradient.data(), 1);
  EXPECT_EQ(Differs({static_cast<float>(norm)}, values("out/norm"), kTolerance), "");
  for (size_t i = 0; i < sizes.size(); ++i) {
    std::vector<float> cut = values("in/" + spec.inputs[i]);
    for (float& g : cut) g = static_cast<float>(g * optimizer.ClipFactor(norm));
    EXPECT_EQ(Differs(cut, values("out/" + spec.inputs[i]), kTolerance), "") << spec.inputs[i];
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenClip, ::testing::ValuesIn(CasesOf({"clip_grad_norm"})), NameOfCase);

template <typename Schedule>
void SetWarmup(const nlohmann::json& a, Schedule* schedule) {
  schedule->set_warmup_steps(a.at("warmup_steps").get<int64_t>());
}

ScheduleConfig ScheduleOf(const nlohmann::json& a) {
  ScheduleConfig config;
  const std::string kind = a.at("kind");
  if (kind == "constant") SetWarmup(a, config.mutable_constant());
  if (kind == "linear") {
    SetWarmup(a, config.mutable_linear());
    config.mutable_linear()->set_final(a.at("final").get<float>());
  }
  if (kind == "cosine") {
    SetWarmup(a, config.mutable_cosine());
    config.mutable_cosine()->set_final(a.at("final").get<float>());
  }
  if (kind == "step") {
    SetWarmup(a, config.mutable_step());
    config.mutable_step()->set_gamma(a.at("gamma").get<float>());
    for (const int64_t step : a.at("milestones").get<std::vector<int64_t>>())
      config.mutable_step()->add_milestone(step);
  }
  return config;
}

class GoldenSchedule : public ::testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenSchedule, FactorsAreThoseOfPyTorch) {
  const GoldenCase& spec = GetParam();
  const ScheduleConfig config = ScheduleOf(spec.attributes);
  const int64_t horizon = spec.attributes.at("horizon").get<int64_t>();
  std::vector<float> got;
  for (int64_t step = 0; step < horizon; ++step) {
    got.push_back(static_cast<float>(ScheduleFactor(config, step, horizon)));
  }
  EXPECT_EQ(Differs(got, File().At(spec.name + "/out/factors").Values(), kTolerance), "");
}

INSTANTIATE_TEST_SUITE_P(All, GoldenSchedule, ::testing::ValuesIn(CasesOf({"schedule"})), NameOfCase);

TEST(GoldenMovingAverage, FollowsAsInPyTorch) {
  ASSERT_EQ(CasesOf({"ema"}).size(), 1u);
  const GoldenCase spec = CasesOf({"ema"})[0];
  std::vector<float> average = File().At("ema/in/p").Values();
  const std::vector<float> weights = File().At("ema/in/weights").Values(),
                           want = File().At("ema/out/p").Values();
  const size_t size = average.size();
  for (size_t step = 0; step < weights.size() / size; ++step) {
    kernels::UpdateAverage(spec.attributes.at("decay").get<float>(), Row(weights, step, size),
                           absl::MakeSpan(average));
    EXPECT_EQ(Differs(average, Row(want, step, size), kTolerance), "") << "after step " << step;
  }
}

}  // namespace
}  // namespace lockstep::train
