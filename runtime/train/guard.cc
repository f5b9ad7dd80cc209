#include "runtime/train/guard.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace lockstep::train {
namespace {

constexpr double kLeastDeviation = 1e-3;  // of the mean

using Action = GuardDecision::Action;

void AddStatistics(absl::string_view name, const RunningStatistics& statistics, Counters* counters) {
  const std::string prefix = absl::StrCat("guard.", name);
  (*counters)[prefix + ".count"] = statistics.count;
  (*counters)[prefix + ".mean"] = statistics.mean;
  (*counters)[prefix + ".variance"] = statistics.variance;
}

template <typename Value>
void Find(const Counters& counters, const std::string& name, Value* value) {
  const auto found = counters.find(name);
  if (found != counters.end() && std::holds_alternative<Value>(found->second))
    *value = std::get<Value>(found->second);
}

RunningStatistics StatisticsFrom(absl::string_view name, const Counters& counters) {
  const std::string prefix = absl::StrCat("guard.", name);
  RunningStatistics statistics;
  Find(counters, prefix + ".count", &statistics.count);
  Find(counters, prefix + ".mean", &statistics.mean);
  Find(counters, prefix + ".variance", &statistics.variance);
  return statistics;
}

// The value's verdict against its statistics, which it then joins.
GuardDecision JudgeValue(const OutlierGuard& guard, const char* name, const char* what, double value,
                         RunningStatistics* statistics) {
  GuardDecision decision;
  const double z = statistics->ZScore(value);
  double joins = value;
  if (statistics->count >= guard.warmup() && z > guard.threshold()) {
    decision.reason = absl::StrCat(name, "_z");
    decision.message = absl::StrFormat(
        "%s %.6g is %.3g standard deviations above its average of %.6g (numerics.%s.threshold: %g)", what,
        value, z, statistics->mean, name, guard.threshold());
    if (guard.action() == OutlierGuard::SKIP) decision.action = Action::kSkip;
    if (guard.action() == OutlierGuard::STOP) decision.action = Action::kStop;
    joins = statistics->mean + guard.threshold() * statistics->Deviation();
  }
  statistics->Add(joins, guard.window());
  return decision;
}

// The graver of two; of equals the first.
GuardDecision Graver(GuardDecision a, GuardDecision b) {
  if (b.action > a.action || (a.reason.empty() && !b.reason.empty())) std::swap(a, b);
  if (!b.message.empty()) absl::StrAppend(&a.message, "; ", b.message);
  return a;
}

GuardDecision JudgeFinite(const NumericsConfig& config, double loss, double norm, GuardState* state) {
  GuardDecision decision;
  if (config.has_loss()) decision = JudgeValue(config.loss(), "loss", "the loss", loss, &state->loss);
  if (config.has_grad_norm()) {
    decision = Graver(std::move(decision), JudgeValue(config.grad_norm(), "grad_norm", "the gradient norm",
                                                      norm, &state->grad_norm));
  }
  return decision;
}

}  // namespace

void RunningStatistics::Add(double value, int window) {
  ++count;
  const double weight = std::max(1.0 / static_cast<double>(count), 2.0 / (window + 1.0));
  const double difference = value - mean;
  const double increment = weight * difference;
  mean += increment;
  variance = (1 - weight) * (variance + difference * increment);
}

double RunningStatistics::Deviation() const {
  return std::max(std::sqrt(variance), kLeastDeviation * std::abs(mean));
}

double RunningStatistics::ZScore(double value) const {
  const double deviation = Deviation();
  const double above = value - mean;
  return above <= 0 ? 0 : above / deviation;  // infinite where all values so far were 0
}

void GuardState::AddTo(Counters* counters) const {
  if (skips_in_a_row > 0) (*counters)["skips_in_a_row"] = skips_in_a_row;
  if (loss.count > 0) AddStatistics("loss", loss, counters);
  if (grad_norm.count > 0) AddStatistics("grad_norm", grad_norm, counters);
}

GuardState GuardState::FromCounters(const Counters& counters) {
  GuardState state;
  Find(counters, "skips_in_a_row", &state.skips_in_a_row);
  state.loss = StatisticsFrom("loss", counters);
  state.grad_norm = StatisticsFrom("grad_norm", counters);
  return state;
}

std::string GuardState::ToText() const {
  return absl::StrFormat("%d:%d:%a:%a:%d:%a:%a", skips_in_a_row, loss.count, loss.mean, loss.variance,
                         grad_norm.count, grad_norm.mean, grad_norm.variance);
}

bool GuardState::FromText(absl::string_view text, GuardState* state) {
  const std::vector<std::string> words = absl::StrSplit(text, ':');
  if (words.size() != 7) return false;
  const auto number = [&](int i) { return std::strtod(words[i].c_str(), nullptr); };  // reads %a
  state->loss.mean = number(2);
  state->loss.variance = number(3);
  state->grad_norm.mean = number(5);
  state->grad_norm.variance = number(6);
  return absl::SimpleAtoi(words[0], &state->skips_in_a_row) &&
         absl::SimpleAtoi(words[1], &state->loss.count) &&
         absl::SimpleAtoi(words[4], &state->grad_norm.count);
}

GuardDecision Judge(const NumericsConfig& config, double loss, double norm, GuardState* state) {
  GuardDecision decision;
  if (std::isfinite(loss) && std::isfinite(norm)) {
    decision = JudgeFinite(config, loss, norm, state);
  } else {
    decision.reason = "nonfinite";
    decision.message = absl::StrCat("loss ", loss, ", gradient norm ", norm);
    decision.action = config.on_nonfinite() == SKIP ? Action::kSkip : Action::kStop;
  }
  if (decision.action != Action::kSkip) {
    state->skips_in_a_row = 0;
    return decision;
  }
  const int64_t most = config.max_skips_in_a_row();
  if (++state->skips_in_a_row > most && most > 0) {
    decision.action = Action::kStop;
    absl::StrAppend(&decision.message, "; the updates of the ", most,
                    " steps before were left out already (numerics.max_skips_in_a_row)");
  }
  return decision;
}

}  // namespace lockstep::train
