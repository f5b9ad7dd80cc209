// Collectives as messages between ranks, over any Transport. `p` ranks, `n` bytes a rank:
//   one_shot          everyone sends everyone its input: 1 step, (p-1) n bytes. For small n.
//   two_shot          shares to their owners, results back: 2 steps, pipelined by pieces; 2 n (p-1)/p bytes.
//   ring              neighbours only: 2 (p-1) steps, 2 n (p-1)/p bytes. (Of a broadcast: a chain by segments.)
//   halving_doubling  2 log2 p steps, 2 n (p-1)/p bytes.
//   tree              binomial: log2 p steps of n bytes (twice that for all_reduce).
// Which of them a collective has: AlgorithmsFor (comm/plan/cost_model.h), which also chooses. Of
// reduce_lanes every one adds in the lane tree's order. barrier: dissemination, ceil(log2 p) steps.
// all_to_all, gather, scatter: direct, 1 step.
#ifndef LOCKSTEP_COMM_P2P_COLLECTIVES_H_
#define LOCKSTEP_COMM_P2P_COLLECTIVES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/engine.h"
#include "comm/p2p/transport.h"
#include "comm/plan/cost_model.h"
#include "comm/reduction_plan.h"

namespace lockstep::comm {

// Any validated call, as rank `rank` of `size` (> 1).
class P2pCollectives {
 public:
  // `ring_segment_bytes`: of the ring, what goes at once. Small, and what is received is added while it is
  // in the cache; large, and links that are slower than memory stand still less often between one segment
  // and the next.
  P2pCollectives(Transport& transport, int rank, int size, size_t ring_segment_bytes = size_t{256} << 10)
      : transport_(transport), rank_(rank), size_(size), ring_segment_bytes_(ring_segment_bytes) {}
  absl::Status Run(const Call& call, RunContext& context);
  // Chooses algorithms from now on; the same on all ranks.
  void SetCostModel(const CostModel& model) { model_ = model; }
  const CostModel& cost_model() const { return model_; }

 private:
  struct Reduction;
  absl::Status Reduce(const Call& call, Algorithm algorithm, const CallDescriptor& d);
  absl::Status OneShot(const Reduction& r, const CallDescriptor& d);
  absl::Status TwoShot(const Reduction& r, const CallDescriptor& d, int root);
  absl::Status PackedTwoShot(const Call& call, const CallDescriptor& d);
  absl::Status RingAllReduce(const Call& call, const CallDescriptor& d);
  absl::Status HalvingDoubling(const Call& call, const CallDescriptor& d);
  absl::Status TreeReduce(const Call& call, const CallDescriptor& d, int root);
  absl::Status DivideResult(const Call& call) const;  // of kAvg, after a sum
  absl::Status ReduceScatter(const Call& call, const CallDescriptor& d);
  absl::Status RingReduceScatter(const Call& call, const CallDescriptor& d);
  absl::Status AllGather(const Call& call, const CallDescriptor& d);
  absl::Status RingAllGather(const Call& call, const CallDescriptor& d);
  absl::Status Broadcast(const Call& call, Algorithm algorithm, const CallDescriptor& d);
  absl::Status FlatBroadcast(void* data, size_t bytes, int root, const CallDescriptor& d);
  absl::Status TreeBroadcast(void* data, size_t bytes, int root, const CallDescriptor& d);
  absl::Status ChainBroadcast(void* data, size_t bytes, int root, const CallDescriptor& d);
  absl::Status ScatterBroadcast(void* data, size_t bytes, int root, const CallDescriptor& d);
  absl::Status Gather(const Call& call, const CallDescriptor& d);
  absl::Status Scatter(const Call& call, const CallDescriptor& d);
  absl::Status AllToAll(const Call& call, const CallDescriptor& d);
  absl::Status Barrier(const CallDescriptor& d);

  Transport& transport_;
  const int rank_, size_;
  const size_t ring_segment_bytes_;
  ReductionPlans plans_;
  CostModel model_;
  std::vector<std::byte> scratch_;  // grows to the largest need
  std::vector<uint16_t> packed_;
};

// kSend, kRecv and kSendRecv.
absl::Status RunMessages(Transport& transport, const Call& call, const RunContext& context, int rank);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_P2P_COLLECTIVES_H_
