// The numerics guard: whether a step's update may be applied, judged by its loss and gradient norm alone.
//
// Both are reduced values, the same bits on every rank and at every world size, and the guard's memory is
// state of the run (it is in checkpoints and in state_sha256); so every rank, and every replay of the step,
// decides alike.
#ifndef LOCKSTEP_RUNTIME_TRAIN_GUARD_H_
#define LOCKSTEP_RUNTIME_TRAIN_GUARD_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "proto/run_config.pb.h"
#include "runtime/train/manifest.h"

namespace lockstep::train {

// Mean and variance that forget: the n-th value weighs max(1 / n, 2 / (window + 1)), so they are those of all
// values at first, and of about the last `window` later (West, 1979, with exponential weights).
struct RunningStatistics {
  int64_t count = 0;
  double mean = 0, variance = 0;

  void Add(double value, int window);
  // How many standard deviations `value` lies above the mean. The deviation counts for at least a thousandth
  // of the mean, so that a value that hardly ever moved does not make a spike of a rounding error.
  double ZScore(double value) const;
  double Deviation() const;
};

struct GuardState {
  int64_t skips_in_a_row = 0;
  RunningStatistics loss, grad_norm;

  // What the guard was asked to look at: a run without it has none of these counters.
  void AddTo(Counters* counters) const;
  static GuardState FromCounters(const Counters& counters);
  // For rank 0 to tell the others of a checkpoint that it loaded; exact. No spaces.
  std::string ToText() const;
  static bool FromText(absl::string_view text, GuardState* state);
};

struct GuardDecision {
  enum class Action { kApply, kSkip, kStop };
  Action action = Action::kApply;
  std::string reason;   // of a skip, a stop, or a warning: "nonfinite", "loss_z", "grad_norm_z"; "": none
  std::string message;  // what was seen, against what bound, and which field says what to do; "": nothing
};

// Judges one step and brings `state` up to date. `loss` and `norm` are those of the step; a value that is not
// finite is of concern first, then the loss's z-score, then the norm's. Values that are finite join the
// statistics, cut at the threshold, so that one spike hardly moves them and a new level is learnt in time.
GuardDecision Judge(const NumericsConfig& config, double loss, double norm, GuardState* state);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_GUARD_H_
