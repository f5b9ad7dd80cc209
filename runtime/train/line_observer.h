// An observer that writes lines to a file: what metrics and ledger have in common.
#ifndef LOCKSTEP_RUNTIME_TRAIN_LINE_OBSERVER_H_
#define LOCKSTEP_RUNTIME_TRAIN_LINE_OBSERVER_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "runtime/core/log.h"
#include "runtime/train/line_log.h"
#include "runtime/train/observer.h"

namespace lockstep::train {

class LineObserver : public Observer {
 public:
  LineObserver(std::unique_ptr<LineLog> log, Logger* logger) : log_(std::move(log)), logger_(logger) {}

  void OnEval(const EvalMetrics&) override {}
  absl::Status Sync() override { return log_->Sync(); }
  void OnEnd() override { Report(log_->Sync()); }

 protected:
  void Write(absl::string_view line) { Report(log_->Append(line)); }

 private:
  // Says when writing begins to fail and when it works again, not every time between.
  void Report(const absl::Status& status) {
    if (!status.ok() && !failing_) logger_->Error(absl::StrCat(status.message(), "; training goes on"));
    if (status.ok() && failing_) logger_->Info("writing works again; no line is missing");
    failing_ = !status.ok();
  }

  const std::unique_ptr<LineLog> log_;
  Logger* const logger_;
  bool failing_ = false;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_LINE_OBSERVER_H_
