// Which inputs a reducing collective adds, whose they are, and in which order. Internal to comm/.
#ifndef LOCKSTEP_COMM_REDUCTION_PLAN_H_
#define LOCKSTEP_COMM_REDUCTION_PLAN_H_

#include <memory>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "comm/call.h"
#include "comm/reduce/reduce.h"

namespace lockstep::comm {

struct ReductionPlan {
  struct Input {
    int owner = 0;  // rank
    int index = 0;  // among its owner's inputs
  };
  std::vector<Input> inputs;        // of all ranks, in the order of the program's inputs
  std::vector<int> inputs_of_rank;  // how many each rank has
  int most_inputs = 0;              // that one rank has
  std::unique_ptr<ReduceProgram> program;
};

// Plans are kept from call to call, since training repeats the same few. Not thread-safe.
class ReductionPlans {
 public:
  // For kAllReduce, kReduce, kReduceScatter (one input a rank, the balanced tree over ranks) and
  // kReduceLanes, or any of them that has lanes. Valid until the next call.
  const ReductionPlan& For(const Call& call, int size);

 private:
  Collective kind_ = Collective::kBarrier;
  ReduceOp op_ = ReduceOp::kSum;
  DType dtype_ = DType::kU8;
  int lanes_ = -1, size_ = 0;
  Wire wire_ = Wire::kFull;
  std::vector<int> bounds_;
  ReductionPlan plan_;
};

// Pointers of one call. Inline, because an allocation is a tenth of the time that a small collective takes.
template <typename Pointer>
using Pointers = absl::InlinedVector<Pointer, 8>;

// This rank's inputs of a reducing call, in order.
Pointers<const void*> InputsOf(const Call& call);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_REDUCTION_PLAN_H_
