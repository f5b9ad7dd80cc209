// What the training loop tells the outside, and who listens: metrics, ledger, progress line, TensorBoard
// events.
#ifndef LOCKSTEP_RUNTIME_TRAIN_OBSERVER_H_
#define LOCKSTEP_RUNTIME_TRAIN_OBSERVER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "runtime/core/status.h"

namespace lockstep::train {

// One committed step. Counted from 1: `step` is the number of steps done, and a checkpoint of step N holds
// steps 1..N.
struct StepMetrics {
  int64_t step = 0;
  double epoch = 0;  // position / records, after this step
  double loss = 0;
  double lr = 0;
  double grad_norm = 0;
  double samples_per_second = 0;  // global batch / step_seconds, unsmoothed
  double step_seconds = 0;
  double comm_seconds = 0;       // waited for communication
  double data_wait_seconds = 0;  // waited for records
  int world_size = 1;
  int64_t generation = 0;
  std::string
      skipped;         // why the update was left out: "nonfinite", "loss_z", "grad_norm_z"; empty: it was not
  std::string warned;  // likewise, of a step that was applied all the same
  int64_t damaged =
      0;  // records of the step that are damaged, and were masked or had another put in their place
  std::string damage;  // which: a JSON array (damage_report.h); empty: none
};

// One validation, after `step` steps. Values in the order to be shown: ("loss", 0.12), ("accuracy", 0.98).
struct EvalMetrics {
  int64_t step = 0;
  std::vector<std::pair<std::string, double>> values;
};

// Called from the loop's thread, in the order of steps. Trouble of an observer never stops training: it is
// logged, and Sync, which a checkpoint waits for, repeats it.
class Observer {
 public:
  virtual ~Observer() = default;
  // `ids`: the records of the step in position order; empty where nobody asked for a ledger. Valid during the
  // call.
  virtual void OnStep(const StepMetrics& metrics, absl::Span<const int64_t> ids) = 0;
  virtual void OnEval(const EvalMetrics& metrics) = 0;
  // Makes everything told so far durable. Thread-safe: called from the checkpoint's thread while steps go on.
  virtual absl::Status Sync() { return absl::OkStatus(); }
  // The last call: the run has ended (however it did).
  virtual void OnEnd() {}
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_OBSERVER_H_
