#include "runtime/train/ledger.h"

#include "runtime/train/json_line.h"
#include "runtime/train/line_observer.h"

namespace lockstep::train {
namespace {

class Ledger final : public LineObserver {
 public:
  using LineObserver::LineObserver;
  void OnStep(const StepMetrics& metrics, absl::Span<const int64_t> ids) override {
    JsonLine line;
    line.Integer("step", metrics.step).Integers("ids", ids);
    Write(line.Text());
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Observer>> OpenLedger(FileSystem* fs, const std::string& path,
                                                     Logger* logger) {
  ASSIGN_OR_RETURN(auto log, LineLog::Open(fs, path));
  return std::unique_ptr<Observer>(new Ledger(std::move(log), logger));
}

}  // namespace lockstep::train
