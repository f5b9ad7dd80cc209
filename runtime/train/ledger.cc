#include "runtime/train/ledger.h"

#include <algorithm>
#include <vector>

#include "runtime/train/json_line.h"
#include "runtime/train/line_observer.h"

namespace lockstep::train {
namespace {

class Ledger final : public LineObserver {
 public:
  using LineObserver::LineObserver;
  void OnStep(const StepMetrics& metrics, absl::Span<const int64_t> ids) override {
    std::vector<int64_t> real(ids.begin(), ids.end());
    real.erase(std::remove(real.begin(), real.end(), -1), real.end());  // a batch that was only filled up
    JsonLine line;
    line.Integer("step", metrics.step).Integers("ids", real);
    if (!metrics.damage.empty()) line.Raw("damaged", metrics.damage);
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
