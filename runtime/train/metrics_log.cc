#include "runtime/train/metrics_log.h"

#include "runtime/train/json_line.h"
#include "runtime/train/line_observer.h"

namespace lockstep::train {
namespace {

class MetricsLog final : public LineObserver {
 public:
  using LineObserver::LineObserver;
  void OnStep(const StepMetrics& metrics, absl::Span<const int64_t>) override { Write(StepLine(metrics)); }
  void OnEval(const EvalMetrics& metrics) override { Write(EvalLine(metrics)); }
};

}  // namespace

std::string StepLine(const StepMetrics& metrics) {
  JsonLine line;
  line.Integer("step", metrics.step).Number("epoch", metrics.epoch).Number("loss", metrics.loss);
  line.Number("lr", metrics.lr).Number("grad_norm", metrics.grad_norm);
  line.Number("samples_per_second", metrics.samples_per_second).Number("step_seconds", metrics.step_seconds);
  line.Number("comm_seconds", metrics.comm_seconds).Number("data_wait_seconds", metrics.data_wait_seconds);
  line.Integer("world_size", metrics.world_size).Integer("generation", metrics.generation);
  if (!metrics.skipped.empty()) line.String("skipped", metrics.skipped);
  if (!metrics.warned.empty()) line.String("warned", metrics.warned);
  if (metrics.damaged > 0) line.Integer("damaged", metrics.damaged);
  return line.Text();
}

std::string EvalLine(const EvalMetrics& metrics) {
  JsonLine values;
  for (const auto& [name, value] : metrics.values) values.Number(name, value);
  JsonLine line;
  line.Integer("step", metrics.step).Object("eval", values);
  return line.Text();
}

absl::StatusOr<std::unique_ptr<Observer>> OpenMetricsLog(FileSystem* fs, const std::string& path,
                                                         Logger* logger) {
  ASSIGN_OR_RETURN(auto log, LineLog::Open(fs, path));
  return std::unique_ptr<Observer>(new MetricsLog(std::move(log), logger));
}

}  // namespace lockstep::train
