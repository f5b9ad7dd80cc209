// From lane gradients to the reduced gradient of a step: adds a rank's lanes as they finish, hands each
// bucket to the communicator as soon as all of this rank's lanes hold it, and waits for the rest at the end.
//
// REPRODUCIBLE: lanes are added in the lane tree's order (comm/plan/lane_tree.h), so the result has the same
// bits whichever rank or thread ran a lane. A right node's buffer is free once it is added to its left
// sibling, so a rank that runs n lanes one after another keeps about log2(n) + 1 buffers (PlannedSlots).
// UNORDERED: every thread adds its lanes into one buffer as it computes them; threads and ranks are added
// after that.
//
// With a 16-bit wire (comm::Wire) parameters' gradients are rounded. REPRODUCIBLE: every leaf (a lane's
// gradient) and every node of the tree, also those that a rank adds by itself and also where one rank owns
// all lanes, so that the bits depend on the lanes alone, as ever. UNORDERED: a rank's sum once, then every
// sum of two ranks. The tail (side results such as batch-norm statistics) is never rounded.
//
// With a ShardPlan each rank gets the sums of its own parts of the buckets alone (a reduce-scatter in place of the
// all-reduce, in the same order), and with `mirror` also those of the rank before it. The tail goes to everyone.
#ifndef LOCKSTEP_RUNTIME_TRAIN_GRADIENT_REDUCER_H_
#define LOCKSTEP_RUNTIME_TRAIN_GRADIENT_REDUCER_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/plan/lane_tree.h"
#include "comm/reduce/reduce.h"
#include "runtime/core/status.h"
#include "runtime/train/bucket_plan.h"
#include "runtime/train/shard_plan.h"

namespace lockstep::train {

// Gradient buffers that a rank with lanes `owned` of `lanes` needs with `threads` threads: enough never to
// deadlock (the most complete nodes that can wait beside a lane in progress) and one more for each further
// thread.
int PlannedSlots(comm::LaneRange owned, int lanes, int threads);

struct GradientReducerOptions {
  int lanes = 1;
  int threads = 1;
  bool reproducible = true;
  std::string algorithm;  // of the communicator; "" is its default
  comm::Wire wire = comm::Wire::kFull;
  bool exchange = true;               // false, UNORDERED only: Finish gives the sum over this rank's lanes
  const ShardPlan* shards = nullptr;  // borrowed; of these buckets and this world; REPRODUCIBLE only
  bool mirror = false;                // with shards
};

// One object serves every step. BeginStep and Finish are called by the loop's thread; Acquire, BucketDone by
// lane threads, in this order for each lane: Acquire, BucketDone of every bucket in ascending order.
class GradientReducer {
 public:
  // `communicator` is borrowed. Allocates the peer buffers: slots() x elements floats. `buckets` as by
  // PlanBuckets.
  static absl::StatusOr<std::unique_ptr<GradientReducer>> Create(comm::Communicator* communicator,
                                                                 std::vector<Bucket> buckets,
                                                                 const GradientReducerOptions& options);

  ~GradientReducer();

  void BeginStep();

  struct Slot {
    float* gradient = nullptr;  // the whole flat gradient, tail included
    bool accumulate = false;    // it holds earlier lanes: add to it
  };
  // The buffer for `lane`, which `thread` will run. Blocks until one is free and (REPRODUCIBLE) every lower
  // lane of this rank has one: threads may ask in any order. A slot without a gradient says that Cancel was called.
  Slot Acquire(int lane, int thread);

  // A lane failed: nobody shall wait for a buffer any more in this step. From any thread.
  void Cancel();

  // `lane` has written all of bucket number `bucket` for the last time. May add siblings and start the
  // reduction.
  void BucketDone(int lane, int thread, int bucket);

  // Waits for every bucket. The reduced gradient (sums over all lanes, or with `exchange` off over this
  // rank's; tail included), valid until BeginStep. With shards, only what this rank holds of it means anything.
  // The caller may write to it; it is a peer buffer.
  absl::StatusOr<float*> Finish();

  // Seconds that Finish has waited since the last BeginStep.
  double wait_seconds() const { return wait_seconds_; }
  int slots() const { return static_cast<int>(slots_.size()); }
  const std::vector<Bucket>& buckets() const { return buckets_; }

 private:
  struct BucketState;  // what has arrived of one bucket
  struct SlotState {
    comm::PeerBuffer memory;
    bool free = true;
    int buckets_left = 0;  // that still have to be added to a sibling
    float* data() const { return reinterpret_cast<float*>(memory.data()); }
  };

  GradientReducer(comm::Communicator* communicator, std::vector<Bucket> buckets,
                  const GradientReducerOptions& o);
  void MergeLanes(int lane, int bucket);
  void MergeThreads(int bucket);
  void Release(int lane);
  comm::Wire WireOf(int bucket) const;
  void MarkReady(int bucket);
  std::unique_ptr<comm::Work> Start(int bucket);
  absl::Status ExchangeMirrors();

  comm::Communicator* const communicator_;
  const GradientReducerOptions options_;
  const std::vector<Bucket> buckets_;
  const comm::LaneRange owned_;
  const comm::LaneRanges parts_;
  const comm::ReduceProgram rounded_sum_;  // of two nodes, to the options' wire

  std::vector<std::unique_ptr<BucketState>> states_;
  std::vector<SlotState> slots_;
  std::vector<int> slot_of_lane_;  // by lane - owned_.begin; thread number when UNORDERED

  std::mutex slots_mutex_;  // slots_' flags, slot_of_lane_, next_lane_ and cancelled_
  std::condition_variable slot_freed_;
  int next_lane_ = 0;  // that gets a slot
  bool cancelled_ = false;

  std::mutex issue_mutex_;  // buckets are issued in ascending order, the same on every rank
  int next_bucket_ = 0;
  std::vector<std::unique_ptr<comm::Work>> works_;

  double wait_seconds_ = 0;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_GRADIENT_REDUCER_H_
