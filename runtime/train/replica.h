// Where the model meets the communicator: runs this rank's lanes on its threads and reduces their gradients.
#ifndef LOCKSTEP_RUNTIME_TRAIN_REPLICA_H_
#define LOCKSTEP_RUNTIME_TRAIN_REPLICA_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/plan/lane_tree.h"
#include "runtime/core/fault_points.h"
#include "runtime/core/status.h"
#include "runtime/graph/lane_program.h"
#include "runtime/train/compression/compressor.h"
#include "runtime/train/gradient_reducer.h"
#include "runtime/train/lane_team.h"
#include "runtime/train/model_state.h"
#include "runtime/train/work_marks.h"

namespace lockstep::train {

// One micro-batch of one lane, as the lane program takes it. Valid until the next fetch by the same thread.
struct LaneBatch {
  std::vector<const void*> inputs;      // as LaneProgram::inputs
  const float* weights = nullptr;       // [micro_batch]; null: all 1
  absl::Span<const int64_t> positions;  // [micro_batch]
  int64_t damaged = 0;                  // of a validation: records that were left out
};
// Called by lane threads, several at a time with different lanes; `thread` is the caller's number.
using FetchBatch = std::function<absl::Status(int lane, int micro_batch, int thread, LaneBatch* out)>;

struct ReplicaOptions {
  int lanes = 1;
  int accumulate = 1;  // micro-batches of a lane
  bool reproducible = true;
  int64_t bucket_bytes = int64_t{4} << 20;
  std::string algorithm;                // of the communicator
  comm::Wire wire = comm::Wire::kFull;  // what gradients are rounded to on their way
  Compressor* compressor = nullptr;     // borrowed; takes the place of the all-reduce; UNORDERED only
  const ShardPlan* shards =
      nullptr;                    // borrowed; this rank gets its shard of the gradient alone; REPRODUCIBLE
  bool mirror = false;            // and that of the rank before it
  WorkMarks* marks = nullptr;     // borrowed; lanes in progress are marked here
  FaultPoints* faults = nullptr;  // borrowed; the points "lane.0", "lane.1", ...
};

// The buckets that a program's gradient is reduced in. Pure.
std::vector<Bucket> GradientBuckets(const graph::LaneProgram& program, int64_t bucket_bytes);

// For the loop's thread. Lane programs are pure: nothing but the reduced gradient leaves a step.
class Replica {
 public:
  // All pointers are borrowed. Allocates gradient buffers and one runner a thread.
  static absl::StatusOr<std::unique_ptr<Replica>> Create(std::shared_ptr<const graph::LaneProgram> program,
                                                         comm::Communicator* communicator, LaneTeam* team,
                                                         const ReplicaOptions& options);

  struct Gradient {
    float* values = nullptr;        // [layout.total_elements] sums over all lanes; valid until the next step.
                                    // With shards: in what this rank holds
    float* state_deltas = nullptr;  // [state_layout.total_elements] sums over all micro-batches of the step
    std::vector<graph::LaneResult> lanes;          // of this rank's lanes, summed over their micro-batches
    double compute_seconds = 0, comm_seconds = 0;  // until the lanes were done; waiting after that
  };

  // Forward and backward of all lanes, and the reduction. On an error of this rank the communicator is
  // aborted, so that peers do not wait; an error of a peer comes back as the communicator's.
  absl::StatusOr<Gradient> Step(const ModelState& state, uint64_t dropout_key, const FetchBatch& fetch);

  struct NonFinite {
    std::vector<int> lanes;  // of this rank's, those with a number that is not finite
    absl::Status first;      // names the first such tensor of the first of them; OK: there is none
  };
  // Runs this rank's lanes once more with every tensor looked at; nothing is reduced. Error: of fetching.
  absl::StatusOr<NonFinite> FindNonFinite(const ModelState& state, uint64_t dropout_key,
                                          const FetchBatch& fetch);

  // Ends the step under way at its next operator, and every later one at once, with `reason` (not OK): the
  // membership changes. From any thread.
  void Interrupt(const absl::Status& reason);

  const graph::LaneProgram& program() const { return *program_; }
  comm::LaneRange owned() const { return owned_; }
  int gradient_buffers() const { return reducer_->slots(); }

 private:
  Replica(std::shared_ptr<const graph::LaneProgram> program, comm::Communicator* communicator, LaneTeam* team,
          const ReplicaOptions& options);
  void RunLanes(int thread, const ModelState& state, uint64_t dropout_key, const FetchBatch& fetch);
  absl::Status RunLane(int lane, int thread, const ModelState& state, uint64_t dropout_key,
                       const FetchBatch& fetch, graph::LaneResult* sums);
  graph::LaneArgs Arguments(const ModelState& state, uint64_t dropout_key, const LaneBatch& batch,
                            float* gradient) const;
  absl::Status ReachLane(int lane);
  int NextLane(int thread, int previous);
  void Fail(const absl::Status& status);

  const std::shared_ptr<const graph::LaneProgram> program_;
  comm::Communicator* const communicator_;
  const std::function<void()> note_progress_ = [this] { communicator_->NoteProgress(); };
  LaneTeam* const team_;
  const ReplicaOptions options_;
  const comm::LaneRange owned_;
  int64_t parameter_elements_ = 0;  // of the flat gradient, before the tail of state deltas
  std::unique_ptr<GradientReducer> reducer_;
  std::vector<int> bucket_of_last_parameter_;  // by layout entry: the bucket that it completes, or -1
  std::vector<std::unique_ptr<graph::LaneRunner>> runners_;  // one a thread
  std::vector<graph::LaneResult> results_;                   // by lane - owned_.begin

  std::atomic<int> next_lane_{0};
  std::atomic<bool> failed_{false};
  std::mutex failure_mutex_;
  absl::Status failure_;
  absl::Status interruption_;  // for good
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_REPLICA_H_
