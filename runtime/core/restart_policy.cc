#include "runtime/core/restart_policy.h"

#include <algorithm>
#include <cmath>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "runtime/core/status.h"

namespace lockstep {

bool MayBeMended(int exit_code) {
  if (exit_code > 128) return exit_code != 128 + SIGINT && exit_code != 128 + SIGTERM;
  return exit_code == static_cast<int>(Trouble::kPeer);
}

RestartDecision RestartPolicy::OnEnd(int exit_code, double now, double ran_seconds) {
  RestartDecision decision;
  const std::string ended = exit_code > 128 ? absl::StrCat("died of signal ", exit_code - 128)
                                            : absl::StrCat("ended with exit code ", exit_code);
  if (!MayBeMended(exit_code)) {
    decision.why = absl::StrCat(ended, ", which another try does not mend");
    return decision;
  }
  while (!recent_.empty() && now - recent_.front() > limits_.window_seconds) recent_.pop_front();
  if (static_cast<int>(recent_.size()) >= limits_.most_restarts) {
    decision.why = absl::StrCat(ended, " after ", recent_.size(), " restarts within ", limits_.window_seconds,
                                " s: no more are tried");
    return decision;
  }
  if (ran_seconds >= limits_.calm_seconds) in_a_row_ = 0;
  decision.restart = true;
  decision.delay_seconds = std::min(limits_.longest_delay_seconds,
                                    limits_.first_delay_seconds * std::exp2(std::min(in_a_row_, 60)));
  decision.why = absl::StrCat(ended, "; restart ", recent_.size() + 1, " of ", limits_.most_restarts, " in ",
                              decision.delay_seconds, " s");
  ++in_a_row_;
  ++restarts_;
  recent_.push_back(now + decision.delay_seconds);
  return decision;
}

}  // namespace lockstep
