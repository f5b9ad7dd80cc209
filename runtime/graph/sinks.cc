#include "runtime/graph/sinks.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/graph/uses.h"

namespace lockstep::graph {

Uses::Uses(const Graph& graph) : readers(graph.values.size()), roots(graph.values.size(), 0) {
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (ValueId id : graph.nodes[n].inputs) {
      std::vector<int>& of_value = readers[graph.Root(id)];
      if (of_value.empty() || of_value.back() != static_cast<int>(n)) of_value.push_back(static_cast<int>(n));
    }
  }
  for (ValueId id : graph.Roots()) ++roots[id];
}

std::vector<int> SinkTargets(const Graph& graph) {
  std::vector<int> targets(graph.values.size(), kNoSink);
  for (const GradientContribution& gradient : graph.gradients)
    targets[graph.Root(gradient.value)] = gradient.parameter;
  for (const StateUpdate& update : graph.updates) targets[graph.Root(update.delta)] = -1 - update.state;
  return targets;
}

namespace {

// Whether the kernels can write `id` where `target` lies, given the sinks as they would be.
bool CanBeSink(const Graph& graph, const Uses& uses, const std::vector<int>& targets, ValueId id) {
  const Value& value = graph.values[id];
  if (value.source != Source::kNode || !uses.readers[id].empty() || uses.roots[id] != 1) return false;
  const Node& node = graph.nodes[value.index];
  const kernels::OpSpec spec = graph.SpecOf(node);
  if (!kernels::AccumulatesInto(spec, value.output)) return false;
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    const ValueId other = node.outputs[k];
    if (other == id || !kernels::AccumulatesInto(spec, static_cast<int>(k)) || uses.unused(other)) continue;
    if (targets[other] == kNoSink || targets[other] == targets[id]) return false;
  }
  return true;
}

absl::StatusOr<ValueId> AppendCopy(Graph& graph, ValueId id, const Shape& shape) {
  kernels::ProgramAttributes copy;
  copy.program.Append({.op = kernels::ProgramOp::kLoad, .a = 0});
  copy.program.outputs = {0};
  copy.full_shape = shape;
  ASSIGN_OR_RETURN(const auto outputs,
                   graph.Append(absl::StrCat(graph.values[id].name, ".copy"), kernels::OpKind::kElementwise,
                                copy, {graph.View(id, shape)}));
  return outputs[0];
}

}  // namespace

absl::StatusOr<Graph> PrepareSinks(Graph graph) {
  const Uses uses(graph);
  std::vector<int> targets = SinkTargets(graph);
  // A value that cannot be a sink frees or binds others, so look until nothing changes.
  std::set<ValueId> copied;
  for (bool changed = true; changed;) {
    changed = false;
    for (ValueId id = 0; id < static_cast<ValueId>(targets.size()); ++id) {
      if (targets[id] == kNoSink || CanBeSink(graph, uses, targets, id)) continue;
      targets[id] = kNoSink;
      copied.insert(id);
      changed = true;
    }
  }
  for (GradientContribution& gradient : graph.gradients) {
    if (copied.count(graph.Root(gradient.value)) == 0) continue;
    ASSIGN_OR_RETURN(gradient.value,
                     AppendCopy(graph, gradient.value, graph.parameters[gradient.parameter].shape));
  }
  for (StateUpdate& update : graph.updates) {
    if (copied.count(graph.Root(update.delta)) == 0) continue;
    ASSIGN_OR_RETURN(update.delta, AppendCopy(graph, update.delta, graph.states[update.state].shape));
  }
  return graph;
}

}  // namespace lockstep::graph
