#include "runtime/train/event_log.h"

#include <utility>
#include <vector>

#include "runtime/data/event_writer.h"

namespace lockstep::train {
namespace {

using Scalars = std::vector<std::pair<std::string, double>>;

class EventLog final : public Observer {
 public:
  EventLog(FileSystem* fs, std::string folder, int64_t first_step, Logger* logger)
      : fs_(fs), folder_(std::move(folder)), first_step_(first_step), logger_(logger) {}

  void OnStep(const StepMetrics& metrics, absl::Span<const int64_t>) override {
    Write(metrics.step, {{"train/loss", metrics.loss},
                         {"train/lr", metrics.lr},
                         {"train/grad_norm", metrics.grad_norm},
                         {"speed/samples_per_second", metrics.samples_per_second},
                         {"speed/step_seconds", metrics.step_seconds},
                         {"speed/comm_seconds", metrics.comm_seconds},
                         {"speed/data_wait_seconds", metrics.data_wait_seconds}});
  }

  void OnEval(const EvalMetrics& metrics) override {
    Scalars scalars;
    for (const auto& [name, value] : metrics.values) scalars.emplace_back("eval/" + name, value);
    Write(metrics.step, scalars);
  }

  void OnEnd() override {
    if (writer_ != nullptr) Report(writer_->Sync());
  }

 private:
  // The file is made at the first event, so that a run that does not get there leaves none.
  absl::Status TryWrite(int64_t step, const Scalars& scalars) {
    if (writer_ == nullptr) {
      ASSIGN_OR_RETURN(writer_, data::EventWriter::Create(fs_, folder_, first_step_));
    }
    return writer_->AddScalars(step, scalars);
  }

  void Write(int64_t step, const Scalars& scalars) {
    if (!given_up_) Report(TryWrite(step, scalars));
  }

  // A torn event ends what TensorBoard reads of a file, so after an error this file gets no more.
  void Report(const absl::Status& status) {
    if (status.ok()) return;
    logger_->Warning(absl::StrCat(status.message(), "; no more TensorBoard events until the next start"));
    given_up_ = true;
  }

  FileSystem* const fs_;
  const std::string folder_;
  const int64_t first_step_;
  Logger* const logger_;
  std::unique_ptr<data::EventWriter> writer_;
  bool given_up_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Observer>> OpenEventLog(FileSystem* fs, const std::string& folder,
                                                       int64_t step, Logger* logger) {
  return std::make_unique<EventLog>(fs, folder, step + 1, logger);
}

}  // namespace lockstep::train
