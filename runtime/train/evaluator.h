// Validation: loss and metrics over all held-out records, the same digits at any world size.
#ifndef LOCKSTEP_RUNTIME_TRAIN_EVALUATOR_H_
#define LOCKSTEP_RUNTIME_TRAIN_EVALUATOR_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "runtime/core/status.h"
#include "runtime/graph/lane_program.h"
#include "runtime/train/feed.h"
#include "runtime/train/lane_team.h"
#include "runtime/train/model_state.h"

namespace lockstep::train {

// ("loss", ..), then the model's metrics by name, then ("bits_per_byte", ..) where it is known how many bytes
// a row of the loss stands for on average (not 0): loss / ln 2 / bytes.
std::vector<std::pair<std::string, double>> MeansOf(const graph::LaneResult& sums,
                                                    const std::vector<std::string>& metric_names,
                                                    double bytes_per_target);

class Evaluator {
 public:
  // All borrowed but the program, which must be compiled for evaluation with the training's layout.
  Evaluator(std::shared_ptr<const graph::LaneProgram> program, comm::Communicator* communicator,
            LaneTeam* team);

  // A collective. Chunks are dealt to ranks and threads in turn; their sums are added in the order of the
  // chunks. Evaluates the moving average where the state has one, else the parameters.
  absl::StatusOr<graph::LaneResult> Run(const ModelState& state, Feed& feed);

  // Ends the validation under way at its next operator, and every later one at once, with `reason` (not OK).
  // From any thread.
  void Interrupt(const absl::Status& reason);

  const graph::LaneProgram& program() const { return *program_; }
  // Records that the last Run left out because they are damaged, over all ranks.
  int64_t damaged() const { return damaged_; }

 private:
  void Fail(const absl::Status& status);
  absl::Status RunChunk(int64_t chunk, int thread, const ModelState& state, Feed& feed, double* sums);

  const std::shared_ptr<const graph::LaneProgram> program_;
  comm::Communicator* const communicator_;
  const std::function<void()> note_progress_ = [this] { communicator_->NoteProgress(); };
  LaneTeam* const team_;
  std::vector<std::unique_ptr<graph::LaneRunner>> runners_;  // one a thread, made when first needed

  int64_t damaged_ = 0;
  std::atomic<bool> failed_{false};
  std::mutex failure_mutex_;
  absl::Status failure_;
  absl::Status interruption_;  // for good
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_EVALUATOR_H_
