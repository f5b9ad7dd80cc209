// Collectives as messages between ranks, over any Transport. `p` ranks, `n` bytes a rank:
//   all_reduce      one_shot  everyone sends everyone its input: 1 step, (p-1) n bytes sent. For small n.
//                   two_shot  shares to their owners, results back: 2 steps, pipelined; 2 n (p-1)/p bytes.
//                   ring      neighbours only: 2 (p-1) steps, 2 n (p-1)/p bytes. Adds in ring order.
//   reduce_lanes    one_shot, two_shot: as above for each part; the order is the lane tree's at every p.
//   reduce          two_shot with results to the root.
//   reduce_scatter  the first half of two_shot.
//   broadcast       binomial tree: ceil(log2 p) steps.
//   barrier         dissemination: ceil(log2 p) steps.
//   all_gather, all_to_all, gather, scatter   direct: 1 step.
#ifndef LOCKSTEP_COMM_P2P_COLLECTIVES_H_
#define LOCKSTEP_COMM_P2P_COLLECTIVES_H_

#include "comm/engine.h"
#include "comm/p2p/transport.h"
#include "comm/reduction_plan.h"

namespace lockstep::comm {

// Any validated call, as rank `rank` of `size` (> 1).
class P2pCollectives {
 public:
  P2pCollectives(Transport& transport, int rank, int size)
      : transport_(transport), rank_(rank), size_(size) {}
  absl::Status Run(const Call& call, const RunContext& context);

 private:
  struct Reduction;
  absl::Status Reduce(const Call& call, const CallDescriptor& d);
  absl::Status OneShot(const Reduction& r, const CallDescriptor& d);
  absl::Status TwoShot(const Reduction& r, const CallDescriptor& d, int root);
  absl::Status ReduceScatter(const Call& call, const CallDescriptor& d);
  absl::Status AllGather(const Call& call, const CallDescriptor& d);
  absl::Status Broadcast(const Call& call, const CallDescriptor& d);
  absl::Status Gather(const Call& call, const CallDescriptor& d);
  absl::Status Scatter(const Call& call, const CallDescriptor& d);
  absl::Status AllToAll(const Call& call, const CallDescriptor& d);
  absl::Status Barrier(const CallDescriptor& d);

  Transport& transport_;
  const int rank_, size_;
  ReductionPlans plans_;
  std::vector<std::byte> scratch_;  // grows to the largest need
};

// kSend, kRecv and kSendRecv.
absl::Status RunMessages(Transport& transport, const Call& call, const RunContext& context, int rank);

// kAllReduce by the ring.
absl::Status RingAllReduce(Transport& transport, const Call& call, const RunContext& context, int rank,
                           int size);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_P2P_COLLECTIVES_H_
