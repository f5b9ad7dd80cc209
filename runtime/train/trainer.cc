#include "runtime/train/trainer.h"

#include "runtime/train/session.h"

namespace lockstep::train {

absl::StatusOr<TrainResult> RunTraining(const TrainOptions& options) {
  Session session(options);
  absl::Status status = session.Prepare();
  if (status.ok()) {
    absl::StatusOr<TrainResult> result = session.Train();
    if (result.ok()) return result;
    status = result.status();
  }
  session.ReportFailure(status);
  return status;
}

absl::StatusOr<std::string> DescribeRun(const TrainOptions& options) { return Session(options).Describe(); }

}  // namespace lockstep::train
