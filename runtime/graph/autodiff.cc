#include "runtime/graph/autodiff.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/graph/derivative_rules.h"

namespace lockstep::graph {
namespace {

using kernels::OpKind;
using kernels::ProgramOp;

class Autodiff final : public RuleContext {
 public:
  explicit Autodiff(Graph& graph) : pending_(graph.values.size()), active_(graph.values.size(), false) {
    graph_ = &graph;
  }

  absl::Status Run() {
    MarkActive();
    bool reaches = false;
    for (const LossTerm& term : graph_->loss) reaches = reaches || active_[term.sum.numerator];
    if (!reaches) {
      return ConfigError(graph_->loss.empty()
                             ? "model: there is no loss to train on; call Loss"
                             : "model: the loss depends on no parameter, so there is nothing to train");
    }
    const size_t forward_nodes = graph_->nodes.size();
    SeedLosses();
    for (size_t n = forward_nodes; n-- > 0 && error_.ok();) RETURN_IF_ERROR(Reverse(n));
    return error_;
  }

  void Give(int i, ValueId gradient) override {
    if (gradient == kNoValue || !needs_[i]) return;
    const ValueId root = graph_->Root(node_.inputs[i]);
    AddTo(root, View(gradient, graph_->type(root).shape));
  }

 private:
  // Values through which a change of some parameter can change the loss.
  void MarkActive() {
    for (const Parameter& parameter : graph_->parameters) active_[parameter.value] = true;
    for (const Node& node : graph_->nodes) {
      bool any = false;
      for (ValueId id : node.inputs) any = any || active_[graph_->Root(id)];
      for (size_t k = 0; k < node.outputs.size(); ++k) {
        active_[node.outputs[k]] = any && IsDifferentiable(node.kind, static_cast<int>(k));
      }
    }
  }

  void SeedLosses() {
    node_.name = "loss";
    for (const LossTerm& term : graph_->loss) {
      if (!active_[term.sum.numerator]) continue;
      kernels::ProgramAttributes seed;
      seed.program.outputs = {seed.program.Append({.op = ProgramOp::kConstant, .immediate = term.factor})};
      AddTo(term.sum.numerator, Emit1(OpKind::kElementwise, seed, {}));
    }
  }

  void AddTo(ValueId root, ValueId gradient) {
    const Value& value = graph_->values[root];
    if (value.source == Source::kParameter) {
      graph_->gradients.push_back({value.index, gradient});
    } else {
      pending_[root].push_back(gradient);
    }
  }

  // One value of all that was added to the gradient of `root`, in the order in which it was added.
  ValueId Total(ValueId root) {
    std::vector<ValueId>& parts = pending_[root];
    if (parts.empty()) return kNoValue;
    if (parts.size() == 1) return parts[0];
    kernels::ProgramAttributes sum;
    sum.full_shape = graph_->type(root).shape;
    uint16_t total = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      const uint16_t part = sum.program.Append({.op = ProgramOp::kLoad, .a = static_cast<uint16_t>(i)});
      total = i == 0 ? part : sum.program.Append({.op = ProgramOp::kAdd, .a = total, .b = part});
    }
    sum.program.outputs = {total};
    return Emit1(OpKind::kElementwise, std::move(sum), std::move(parts));
  }

  absl::Status Reverse(size_t n) {
    node_ = graph_->nodes[n];
    output_gradients_.clear();
    bool any = false;
    for (ValueId id : node_.outputs) {
      output_gradients_.push_back(active_[id] ? Total(id) : kNoValue);
      any = any || output_gradients_.back() != kNoValue;
    }
    if (!any) return absl::OkStatus();
    needs_.clear();
    for (ValueId id : node_.inputs) needs_.push_back(active_[graph_->Root(id)]);
    const DerivativeRule rule = RuleOf(node_.kind);
    if (rule == nullptr) {
      return absl::UnimplementedError(
          absl::StrCat("model: ", kernels::NameOf(node_.kind), " ('", node_.name,
                       "') lies between a parameter and the loss but has no derivative"));
    }
    rule(*this);
    return error_;
  }

  std::vector<std::vector<ValueId>> pending_;  // by forward value
  std::vector<bool> active_;                   // by forward value
};

}  // namespace

absl::StatusOr<Graph> AddGradients(Graph graph) {
  RETURN_IF_ERROR(Autodiff(graph).Run());
  return graph;
}

}  // namespace lockstep::graph
