// What each operator adds to the gradients of its inputs. Used by autodiff.cc only.
#ifndef LOCKSTEP_RUNTIME_GRAPH_DERIVATIVE_RULES_H_
#define LOCKSTEP_RUNTIME_GRAPH_DERIVATIVE_RULES_H_

#include <string>
#include <vector>

#include "runtime/graph/graph.h"

namespace lockstep::graph {

// A node that is being differentiated: a rule reads the gradients of its outputs and gives those of its
// inputs.
class RuleContext {
 public:
  virtual ~RuleContext() = default;

  const Node& node() const { return node_; }
  Graph& graph() { return *graph_; }
  ValueId in(int i) const { return node_.inputs[i]; }
  ValueId out(int i) const { return node_.outputs[i]; }
  ValueId dy(int i = 0) const {
    return output_gradients_[i];
  }                                              // kNoValue: that output does not reach the loss
  bool Needs(int i) const { return needs_[i]; }  // the gradient of input i leads to a parameter

  // Appends a node; the first error is kept. Empty outputs after an error.
  std::vector<ValueId> Emit(kernels::OpKind kind, kernels::OpAttributes attributes,
                            std::vector<ValueId> inputs);
  ValueId Emit1(kernels::OpKind kind, kernels::OpAttributes attributes, std::vector<ValueId> inputs);
  ValueId View(ValueId id, const Shape& shape) { return id == kNoValue ? id : graph_->View(id, shape); }

  // Adds `gradient` (of input i's shape or a view) to the gradient of input i, if it is needed.
  virtual void Give(int i, ValueId gradient) = 0;

 protected:
  Graph* graph_ = nullptr;
  Node node_;
  std::vector<ValueId> output_gradients_;
  std::vector<bool> needs_;
  absl::Status error_;
};

using DerivativeRule = void (*)(RuleContext&);

// Null for an operator without derivative.
DerivativeRule RuleOf(kernels::OpKind kind);

// Whether a gradient can flow from output number `output` of an operator to its inputs.
bool IsDifferentiable(kernels::OpKind kind, int output);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_DERIVATIVE_RULES_H_
