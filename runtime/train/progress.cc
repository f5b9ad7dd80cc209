#include "runtime/train/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/core/clock.h"

namespace lockstep::train {
namespace {

constexpr double kLiveSecondsBetween = 0.1;
constexpr double kSmoothing = 0.05;  // weight of the newest step: about 20 steps of memory
constexpr char kClearLine[] = "\r\x1b[K";

std::string RateText(double per_second) {
  if (per_second >= 1e6) return absl::StrFormat("%.2fM", per_second / 1e6);
  if (per_second >= 1e4) return absl::StrFormat("%.1fk", per_second / 1e3);
  return per_second >= 100 ? absl::StrFormat("%.0f", per_second) : absl::StrFormat("%.1f", per_second);
}

// printf would show the sign of a NaN, which says nothing.
std::string LossText(double loss) { return std::isnan(loss) ? "nan" : absl::StrFormat("%.4f", loss); }

std::string DurationText(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  const int64_t whole = static_cast<int64_t>(seconds + 0.5);
  const int64_t hours = whole / 3600, minutes = whole / 60 % 60;
  if (hours >= 48) return absl::StrFormat("%dd %dh", hours / 24, hours % 24);
  if (hours > 0) return absl::StrFormat("%d:%02d:%02d", hours, minutes, whole % 60);
  return absl::StrFormat("%d:%02d", minutes, whole % 60);
}

class Progress final : public Observer {
 public:
  explicit Progress(ProgressOptions options) : options_(std::move(options)) {
    if (!options_.write) {
      options_.write = [](absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); };
    }
    if (!options_.clock) options_.clock = MonotonicSeconds;
  }

  void OnStep(const StepMetrics& metrics, absl::Span<const int64_t>) override {
    std::lock_guard lock(mutex_);
    Count(metrics);
    const double now = options_.clock();
    if (!IsDue(metrics.step, now - last_shown_)) return;
    last_shown_ = now;
    Show(Line(metrics));
    comm_ = data_ = step_ = 0;
  }

  void OnEval(const EvalMetrics& metrics) override {
    std::string line = absl::StrCat("step ", metrics.step, "  validation:");
    for (const auto& [name, value] : metrics.values) absl::StrAppendFormat(&line, "  %s %.4g", name, value);
    std::lock_guard lock(mutex_);
    ClearLocked();
    options_.write(line + "\n");
  }

  void OnEnd() override {
    std::lock_guard lock(mutex_);
    if (drawn_) options_.write("\n");
    drawn_ = false;
  }

  void Clear() {
    std::lock_guard lock(mutex_);
    ClearLocked();
  }

 private:
  bool IsDue(int64_t step, double seconds_since) const {
    if (last_shown_ < 0 || step == options_.total_steps) return true;
    if (options_.live) return seconds_since >= kLiveSecondsBetween;
    if (options_.steps_between > 0) return step % options_.steps_between == 0;
    return seconds_since >= options_.seconds_between;
  }

  void Count(const StepMetrics& metrics) {
    comm_ += metrics.comm_seconds;
    data_ += metrics.data_wait_seconds;
    step_ += metrics.step_seconds;
    const bool first = seconds_a_step_ == 0;
    seconds_a_step_ += (first ? 1 : kSmoothing) * (metrics.step_seconds - seconds_a_step_);
    samples_a_step_ = metrics.samples_per_second * metrics.step_seconds;
  }

  std::string Line(const StepMetrics& metrics) const {
    const double rate = seconds_a_step_ > 0 ? samples_a_step_ / seconds_a_step_ : 0;
    const double left = static_cast<double>(options_.total_steps - metrics.step) * seconds_a_step_;
    return absl::StrFormat("step %d/%d  loss %s  %s samples/s  comm %.0f %%  data %.0f %%  ETA %s",
                           metrics.step, options_.total_steps, LossText(metrics.loss), RateText(rate),
                           Share(comm_), Share(data_), DurationText(left));
  }
  double Share(double seconds) const { return step_ > 0 ? 100 * seconds / step_ : 0; }

  void Show(const std::string& line) {
    if (!options_.live) return options_.write(line + "\n");
    // One column stays free: a cursor in the last one makes some terminals wrap.
    options_.write(kClearLine + line.substr(0, static_cast<size_t>(std::max(options_.columns - 1, 1))));
    drawn_ = true;
  }

  void ClearLocked() {
    if (drawn_) options_.write(kClearLine);
    drawn_ = false;
  }

  ProgressOptions options_;
  std::mutex mutex_;  // loggers on other threads clear the line
  double last_shown_ = -1;
  bool drawn_ = false;                     // a live line stands on the terminal
  double comm_ = 0, data_ = 0, step_ = 0;  // seconds since the last line
  double seconds_a_step_ = 0;              // smoothed
  double samples_a_step_ = 0;
};

class LoggerBeside final : public Logger {
 public:
  LoggerBeside(Progress* progress, Logger* logger) : progress_(progress), logger_(logger) {}
  void Log(LogLevel level, absl::string_view line) override {
    progress_->Clear();
    logger_->Log(level, line);
  }

 private:
  Progress* const progress_;
  Logger* const logger_;
};

}  // namespace

std::unique_ptr<Observer> MakeProgress(ProgressOptions options) {
  return std::make_unique<Progress>(std::move(options));
}

std::unique_ptr<Logger> MakeLoggerBeside(Observer* progress, Logger* logger) {
  return std::make_unique<LoggerBeside>(static_cast<Progress*>(progress), logger);
}

}  // namespace lockstep::train
