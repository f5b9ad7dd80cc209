#include "comm/reduction_plan.h"

#include <algorithm>
#include <utility>

namespace lockstep::comm {

const ReductionPlan& ReductionPlans::For(const Call& call, int size) {
  const DType dtype = call.dtype();
  if (plan_.program != nullptr && kind_ == call.kind && op_ == call.op && dtype_ == dtype &&
      lanes_ == call.lanes && size_ == size && wire_ == call.wire && bounds_ == call.lane_bounds) {
    return plan_;
  }
  kind_ = call.kind;
  op_ = call.op;
  dtype_ = dtype;
  lanes_ = call.lanes;
  size_ = size;
  wire_ = call.wire;
  bounds_ = call.lane_bounds;
  plan_.inputs.clear();
  plan_.inputs_of_rank.assign(size, 0);
  std::vector<AddStep> steps;
  if (call.lanes > 0) {
    LanePlan lanes = bounds_.empty() ? MakeLanePlan(size, call.lanes) : MakeLanePlan(bounds_);
    for (const LanePlan::Part& part : lanes.parts) {
      plan_.inputs.push_back({part.rank, plan_.inputs_of_rank[part.rank]++});
    }
    steps = std::move(lanes.steps);
  } else {
    for (int rank = 0; rank < size; ++rank) plan_.inputs.push_back({rank, plan_.inputs_of_rank[rank]++});
    steps = BalancedSteps(size);
  }
  plan_.most_inputs = *std::max_element(plan_.inputs_of_rank.begin(), plan_.inputs_of_rank.end());
  plan_.program = std::make_unique<ReduceProgram>(static_cast<int>(plan_.inputs.size()), steps, call.op,
                                                  dtype, call.op == ReduceOp::kAvg ? size : 1, call.wire);
  return plan_;
}

Pointers<const void*> InputsOf(const Call& call) {
  if (call.lanes == 0) return {call.in.data};
  Pointers<const void*> inputs;
  for (const LanePart& part : call.parts) inputs.push_back(part.buffer.data);
  return inputs;
}

}  // namespace lockstep::comm
