// When a supervisor starts a program again that ended, and how long it waits first. Pure: the caller brings the
// time.
#ifndef LOCKSTEP_RUNTIME_CORE_RESTART_POLICY_H_
#define LOCKSTEP_RUNTIME_CORE_RESTART_POLICY_H_

#include <cstdint>
#include <deque>
#include <string>

namespace lockstep {

struct RestartLimits {
  int most_restarts = 10;  // within window_seconds; 0: never
  double window_seconds = 3600;
  double first_delay_seconds = 1;     // doubled with every restart in a row ...
  double longest_delay_seconds = 60;  // ... up to this
  double calm_seconds = 300;          // whoever ran for so long starts again from the first delay
};

struct RestartDecision {
  bool restart = false;
  double delay_seconds = 0;  // to wait before
  std::string why;           // for the log: what ended, and why it is or is not started again
};

// Not thread-safe.
class RestartPolicy {
 public:
  explicit RestartPolicy(const RestartLimits& limits = {}) : limits_(limits) {}

  // A process ended `now` (seconds on a clock that never goes back) after it ran for `ran_seconds`.
  // `exit_code` is a shell's: 128 + n for signal n. Only what another try may mend is tried again: a peer that
  // failed (4) and a death by a signal that nobody asked for. Wrong use or data, a checkpoint, numbers, a defect
  // (1, 2, 3, 5, 6) and being told to leave (130, 143) would end the same way or are meant.
  RestartDecision OnEnd(int exit_code, double now, double ran_seconds);

  int64_t restarts() const { return restarts_; }  // of all time

 private:
  const RestartLimits limits_;
  std::deque<double> recent_;  // moments of restarts within the window
  int in_a_row_ = 0;
  int64_t restarts_ = 0;
};

// Whether an end with `exit_code` may be mended by another try.
bool MayBeMended(int exit_code);

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_RESTART_POLICY_H_
