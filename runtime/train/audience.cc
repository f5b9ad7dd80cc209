#include "runtime/train/audience.h"

#include <utility>

namespace lockstep::train {

void Audience::Add(std::unique_ptr<Observer> observer, Told told) {
  listeners_.push_back({std::move(observer), told});
}

void Audience::OnStep(const StepMetrics& metrics, absl::Span<const int64_t> ids) {
  (void)ReachFault(faults_, "observe.before");
  for (Listener& listener : listeners_) {
    if (metrics.step <= listener.told.step) continue;
    listener.observer->OnStep(metrics, ids);
    listener.told.step = metrics.step;
    (void)ReachFault(faults_, "observe.between");
  }
  (void)ReachFault(faults_, "observe.after");
}

void Audience::OnEval(const EvalMetrics& metrics) {
  for (Listener& listener : listeners_) {
    if (metrics.step <= listener.told.eval) continue;
    listener.observer->OnEval(metrics);
    listener.told.eval = metrics.step;
  }
}

absl::Status Audience::Sync() {
  absl::Status status;
  for (Listener& listener : listeners_) status.Update(listener.observer->Sync());
  return status;
}

void Audience::OnEnd() {
  for (Listener& listener : listeners_) listener.observer->OnEnd();
}

}  // namespace lockstep::train
