// Time that only goes forward. Wall-clock time is for labels (events, logs), never for decisions.
#ifndef LOCKSTEP_RUNTIME_CORE_CLOCK_H_
#define LOCKSTEP_RUNTIME_CORE_CLOCK_H_

#include <chrono>

#include "absl/time/time.h"

namespace lockstep {

// Seconds since some fixed moment of this boot.
inline double MonotonicSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A moment by which something must have happened. A value type.
class Deadline {
 public:
  static Deadline After(absl::Duration duration) {
    return Deadline(MonotonicSeconds() + absl::ToDoubleSeconds(duration));
  }
  static Deadline Never() { return Deadline(1e300); }

  bool Passed() const { return MonotonicSeconds() >= at_; }
  // Time left, never negative; capped at about 31 years.
  absl::Duration Left() const {
    const double left = at_ - MonotonicSeconds();
    return absl::Seconds(left < 0 ? 0 : left > 1e9 ? 1e9 : left);
  }

 private:
  explicit Deadline(double at) : at_(at) {}
  double at_;  // seconds on the monotonic clock
};

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_CLOCK_H_
