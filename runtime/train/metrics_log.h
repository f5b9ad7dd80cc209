// RUN/metrics.jsonl: one object a committed step, and one a validation (docs/DESIGN.md, section 6).
#ifndef LOCKSTEP_RUNTIME_TRAIN_METRICS_LOG_H_
#define LOCKSTEP_RUNTIME_TRAIN_METRICS_LOG_H_

#include <memory>
#include <string>

#include "runtime/core/file_system.h"
#include "runtime/core/log.h"
#include "runtime/train/observer.h"

namespace lockstep::train {

std::string StepLine(const StepMetrics& metrics);  // {"step": 1, "epoch": 0.04, "loss": 2.3, ...}
std::string EvalLine(const EvalMetrics& metrics);  // {"step": 100, "eval": {"loss": 0.1, "accuracy": 0.98}}

// `logger` must outlive the observer.
absl::StatusOr<std::unique_ptr<Observer>> OpenMetricsLog(FileSystem* fs, const std::string& path,
                                                         Logger* logger);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_METRICS_LOG_H_
