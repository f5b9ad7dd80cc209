#include "runtime/train/schedule.h"

#include <algorithm>
#include <cmath>

namespace lockstep::train {
namespace {

int64_t WarmupSteps(const ScheduleConfig& schedule) {
  switch (schedule.kind_case()) {
    case ScheduleConfig::kLinear:
      return schedule.linear().warmup_steps();
    case ScheduleConfig::kCosine:
      return schedule.cosine().warmup_steps();
    case ScheduleConfig::kStep:
      return schedule.step().warmup_steps();
    default:
      return schedule.constant().warmup_steps();
  }
}

// How far `step` is between the end of the warm-up and the horizon, in [0, 1].
double Progress(int64_t step, int64_t warmup, int64_t horizon) {
  if (horizon <= warmup) return 1;
  return std::clamp(static_cast<double>(step - warmup) / static_cast<double>(horizon - warmup), 0.0, 1.0);
}

}  // namespace

double ScheduleFactor(const ScheduleConfig& schedule, int64_t step, int64_t horizon) {
  const int64_t warmup = WarmupSteps(schedule);
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double x = Progress(step, warmup, horizon);
  switch (schedule.kind_case()) {
    case ScheduleConfig::kLinear:
      return 1 - (1 - schedule.linear().final()) * x;
    case ScheduleConfig::kCosine: {
      constexpr double kPi = 3.14159265358979323846;
      const double final = schedule.cosine().final();
      return final + (1 - final) * 0.5 * (1 + std::cos(kPi * x));
    }
    case ScheduleConfig::kStep: {
      const auto& milestones = schedule.step().milestone();
      const auto passed =
          std::count_if(milestones.begin(), milestones.end(), [&](int64_t at) { return at <= step; });
      return std::pow(static_cast<double>(schedule.step().gamma()), static_cast<double>(passed));
    }
    default:
      return 1;
  }
}

}  // namespace lockstep::train
