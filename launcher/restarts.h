// When what ended is started again.
#ifndef LOCKSTEP_LAUNCHER_RESTARTS_H_
#define LOCKSTEP_LAUNCHER_RESTARTS_H_

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace lockstep::launcher {

struct RestartLimits {
  int most = 10;                                        // in a row
  absl::Duration first_wait = absl::Milliseconds(200);  // doubled with each in a row ...
  absl::Duration longest_wait = absl::Seconds(15);      // ... up to this
  absl::Duration healthy = absl::Seconds(20);           // what lived for so long begins anew
};

// Of one thing. Not thread-safe.
class Restarts {
 public:
  // It ended after it had lived for `lived`. How long to wait before the next start; nothing: no more.
  std::optional<absl::Duration> Next(absl::Duration lived, const RestartLimits& limits) {
    if (lived >= limits.healthy) in_a_row_ = 0;
    if (in_a_row_ >= limits.most) return std::nullopt;
    const absl::Duration wait = limits.first_wait * (int64_t{1} << std::min(in_a_row_, 20));
    ++in_a_row_;
    return std::min(wait, limits.longest_wait);
  }

 private:
  int in_a_row_ = 0;
};

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_RESTARTS_H_
