#include "runtime/graph/graph.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/core/rng.h"

namespace lockstep::graph {

void Initialize(const Initializer& initializer, uint64_t seed, absl::string_view name,
                absl::Span<float> out) {
  const uint64_t key = DeriveKey(seed, absl::StrCat("init/", name));
  switch (initializer.kind) {
    case Initializer::Kind::kConstant:
      for (float& x : out) x = initializer.a;
      return;
    case Initializer::Kind::kUniform:
      FillUniform(key, initializer.a, initializer.b, out);
      return;
    case Initializer::Kind::kNormal:
      FillNormal(key, initializer.a, initializer.b, out);
      return;
  }
}

absl::StatusOr<std::vector<ValueId>> Graph::Append(absl::string_view name, kernels::OpKind kind,
                                                   kernels::OpAttributes attributes,
                                                   std::vector<ValueId> inputs) {
  Node node{std::string(name), kind, std::move(attributes), std::move(inputs), {}};
  absl::StatusOr<std::vector<TensorType>> types = kernels::InferOutputs(SpecOf(node));
  if (!types.ok()) return Annotate(types.status(), name);
  for (size_t i = 0; i < types->size(); ++i) {
    node.outputs.push_back(static_cast<ValueId>(values.size()));
    values.push_back(
        {node.name, (*types)[i], Source::kNode, static_cast<int>(nodes.size()), static_cast<int>(i)});
  }
  nodes.push_back(std::move(node));
  return nodes.back().outputs;
}

ValueId Graph::View(ValueId id, const Shape& shape) {
  if (type(id).shape == shape) return id;
  const ValueId root = Root(id);
  if (type(root).shape == shape) return root;
  values.push_back({values[id].name, {type(id).dtype, shape}, Source::kView, root, 0});
  return static_cast<ValueId>(values.size() - 1);
}

kernels::OpSpec Graph::SpecOf(const Node& node) const {
  kernels::OpSpec spec;
  spec.kind = node.kind;
  spec.attributes = node.attributes;
  for (ValueId id : node.inputs) spec.inputs.push_back(type(id));
  for (ValueId id : node.outputs) spec.outputs.push_back(type(id));
  return spec;
}

std::vector<ValueId> Graph::Roots() const {
  std::vector<ValueId> roots;
  const auto add = [&](ValueId id) {
    if (id != kNoValue) roots.push_back(Root(id));
  };
  for (const LossTerm& term : loss) add(term.sum.numerator), add(term.sum.weight);
  for (const WeightedSum& metric : metrics) add(metric.numerator), add(metric.weight);
  for (const NamedValue& output : outputs) add(output.value);
  for (const StateUpdate& update : updates) add(update.delta);
  for (const GradientContribution& gradient : gradients) add(gradient.value);
  for (const RangeCheck& check : checks) add(check.found);
  return roots;
}

std::string Graph::ToString() const {
  const auto name = [&](ValueId id) {
    const Value& value = values[id];
    switch (value.source) {
      case Source::kParameter:
        return parameters[value.index].name;
      case Source::kState:
        return states[value.index].name;
      case Source::kInput:
        return value.name;
      case Source::kView:
        return absl::StrCat("%", value.index, value.type.shape.ToString());
      case Source::kNode:
        break;
    }
    return absl::StrCat("%", id);
  };
  const auto join = [&](const std::vector<ValueId>& ids) {
    return absl::StrJoin(ids, ", ", [&](std::string* out, ValueId id) { absl::StrAppend(out, name(id)); });
  };
  std::string text;
  for (const Node& node : nodes) {
    absl::StrAppend(&text, join(node.outputs), " = ", SpecOf(node).ToString(), "  (", join(node.inputs),
                    ")  # ", node.name, "\n");
  }
  return text;
}

void RemoveDeadNodes(Graph& graph) {
  std::vector<bool> needed(graph.values.size(), false);
  for (ValueId id : graph.Roots()) needed[id] = true;
  std::vector<bool> live(graph.nodes.size(), false);
  for (size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    for (ValueId id : node.outputs) live[n] = live[n] || needed[id];
    if (!live[n]) continue;
    for (ValueId id : node.inputs) needed[graph.Root(id)] = true;
  }
  std::vector<Node> kept;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!live[n]) continue;
    for (ValueId id : graph.nodes[n].outputs) graph.values[id].index = static_cast<int>(kept.size());
    kept.push_back(std::move(graph.nodes[n]));
  }
  graph.nodes = std::move(kept);
}

namespace {

absl::Status ValidateNode(const Graph& graph, int n, std::vector<bool>& defined) {
  const Node& node = graph.nodes[n];
  for (ValueId id : node.inputs) {
    if (id < 0 || id >= static_cast<ValueId>(graph.values.size())) {
      return absl::InternalError(
          absl::StrCat("graph: node '", node.name, "' reads value ", id, ", which is not there"));
    }
    const Value& root = graph.values[graph.Root(id)];
    if (root.source == Source::kNode && !defined[graph.Root(id)]) {
      return absl::InternalError(
          absl::StrCat("graph: node '", node.name, "' reads value ", id, " before it is made"));
    }
  }
  absl::StatusOr<std::vector<TensorType>> types = kernels::InferOutputs(graph.SpecOf(node));
  if (!types.ok())
    return absl::InternalError(absl::StrCat("graph: node '", node.name, "': ", types.status().message()));
  if (types->size() != node.outputs.size()) {
    return absl::InternalError(absl::StrCat("graph: node '", node.name, "' has ", node.outputs.size(),
                                            " outputs where its operator has ", types->size()));
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const ValueId id = node.outputs[i];
    const Value& value = graph.values[id];
    if (defined[id] || value.source != Source::kNode || value.index != n ||
        value.output != static_cast<int>(i) || value.type != (*types)[i]) {
      return absl::InternalError(
          absl::StrCat("graph: output ", i, " of node '", node.name, "' (value ", id, ") is inconsistent"));
    }
    defined[id] = true;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const Graph& graph) {
  std::vector<bool> defined(graph.values.size(), false);
  for (size_t n = 0; n < graph.nodes.size(); ++n)
    RETURN_IF_ERROR(ValidateNode(graph, static_cast<int>(n), defined));
  for (ValueId id : graph.Roots()) {
    if (graph.values[id].source == Source::kNode && !defined[id]) {
      return absl::InternalError(
          absl::StrCat("graph: value ", id, " ('", graph.values[id].name, "') is never made"));
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep::graph
