// What a person sees while a run trains: one live line on a terminal, a plain line now and then elsewhere.
#ifndef LOCKSTEP_RUNTIME_TRAIN_PROGRESS_H_
#define LOCKSTEP_RUNTIME_TRAIN_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/log.h"
#include "runtime/train/observer.h"

namespace lockstep::train {

struct ProgressOptions {
  int64_t total_steps = 0;     // where this run stops
  bool live = false;           // one line, rewritten (see terminal.h)
  int columns = 80;            // of the terminal; a live line is cut to it
  double seconds_between = 5;  // plain lines; a live one is redrawn at most ten times a second
  int64_t steps_between = 0;   // plain lines at every multiple of this; 0: by time
  std::function<void(absl::string_view)> write;  // default: standard error
  std::function<double()> clock;                 // monotonic seconds; default: the real one
};

// "step 120/600  loss 0.4312  12.3k samples/s  comm 4 %  data 0 %  ETA 0:32"; shares are of the step's time,
// averaged over the steps since the last line; the rate and the ETA are smoothed over about 20 steps.
std::unique_ptr<Observer> MakeProgress(ProgressOptions options);

// Wraps `logger` so that its lines do not run into the live line of `progress` (made by MakeProgress): the
// line is cleared first and drawn again at the next step. Both must outlive the result. Thread-safe.
std::unique_ptr<Logger> MakeLoggerBeside(Observer* progress, Logger* logger);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_PROGRESS_H_
