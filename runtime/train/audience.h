// All observers of a run on the rank that writes. Each hears of every step and validation once, also where a
// change of membership makes the loop tell something again, or where an observer's file holds more or less
// than another's because the rank that wrote before died between two lines.
#ifndef LOCKSTEP_RUNTIME_TRAIN_AUDIENCE_H_
#define LOCKSTEP_RUNTIME_TRAIN_AUDIENCE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/core/fault_points.h"
#include "runtime/train/observer.h"

namespace lockstep::train {

// What an observer knows already: steps and validations after up to so many steps.
struct Told {
  int64_t step = 0;
  int64_t eval = 0;
};

class Audience final : public Observer {
 public:
  // `faults` is borrowed; may be null.
  explicit Audience(FaultPoints* faults) : faults_(faults) {}

  void Add(std::unique_ptr<Observer> observer, Told told);

  void OnStep(const StepMetrics& metrics, absl::Span<const int64_t> ids) override;
  void OnEval(const EvalMetrics& metrics) override;
  absl::Status Sync() override;
  void OnEnd() override;

 private:
  struct Listener {
    std::unique_ptr<Observer> observer;
    Told told;
  };
  FaultPoints* const faults_;
  std::vector<Listener> listeners_;  // in the order of Add
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_AUDIENCE_H_
