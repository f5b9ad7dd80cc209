// Fusions of named neighbours: batch norm + add + relu; layer norm gradient + add; weight gradient + bias
// gradient.
#include <utility>
#include <vector>

#include "runtime/graph/fusion.h"
#include "runtime/graph/schedule.h"
#include "runtime/graph/uses.h"

namespace lockstep::graph {
namespace {

using kernels::Instruction;
using kernels::OpKind;
using kernels::ProgramOp;

// Null for other nodes, and for the empty one that a node leaves behind when it moves (MoveInto).
const kernels::ProgramAttributes* ProgramOf(const Node& node) {
  return std::get_if<kernels::ProgramAttributes>(&node.attributes);
}

bool IsRelu(const Node& node) {
  const auto* attributes = ProgramOf(node);
  if (attributes == nullptr || node.inputs.size() != 1) return false;
  const kernels::Program& program = attributes->program;
  return program.instructions.size() == 2 && program.instructions[0].op == ProgramOp::kLoad &&
         program.instructions[1].op == ProgramOp::kRelu && program.outputs == std::vector<uint16_t>{1};
}

// The operand beside `id` in a plain sum of two tensors of the same shape, or kNoValue.
ValueId OtherAddend(const Graph& graph, const Node& node, ValueId id) {
  const auto* attributes = ProgramOf(node);
  if (attributes == nullptr || node.inputs.size() != 2 || node.inputs[0] == node.inputs[1]) return kNoValue;
  const kernels::Program& program = attributes->program;
  if (program.instructions.size() != 3 || program.outputs != std::vector<uint16_t>{2}) return kNoValue;
  const Instruction &first = program.instructions[0], &second = program.instructions[1],
                    &sum = program.instructions[2];
  if (first.op != ProgramOp::kLoad || second.op != ProgramOp::kLoad || first.a == second.a ||
      sum.op != ProgramOp::kAdd || sum.a == sum.b) {
    return kNoValue;
  }
  if (node.inputs[0] != id && node.inputs[1] != id) return kNoValue;
  const ValueId other = node.inputs[0] == id ? node.inputs[1] : node.inputs[0];
  return graph.type(other) == graph.type(id) && graph.Root(other) != id ? other : kNoValue;
}

// The only node that reads `id`, or -1.
int OnlyReader(const Uses& uses, ValueId id) {
  return uses.readers[id].size() == 1 && uses.roots[id] == 0 ? uses.readers[id][0] : -1;
}

// `from` (later) takes over the place and the first output of `into`, which then reads all that both read.
void MoveInto(Graph& graph, int from, int into) {
  Node merged = std::move(graph.nodes[into]);
  merged.outputs[0] = graph.nodes[from].outputs[0];
  graph.nodes[into] = Node{};
  graph.nodes[from] = std::move(merged);
}

RunningStatistics* StatisticsOf(Graph& graph, ValueId normalized) {
  for (RunningStatistics& norm : graph.norms) {
    if (norm.normalized == normalized) return &norm;
  }
  return nullptr;
}

// One batch norm takes in what follows it; the number of the node where it now is, or -1.
int FuseNorm(Graph& graph, const Uses& uses, int n) {
  const ValueId y = graph.nodes[n].outputs[0];
  auto& attributes = std::get<kernels::NormAttributes>(graph.nodes[n].attributes);
  const int reader = OnlyReader(uses, y);
  if (reader < 0 || attributes.relu) return -1;
  const Node& next = graph.nodes[reader];
  const ValueId residual = attributes.residual ? kNoValue : OtherAddend(graph, next, y);
  if (residual != kNoValue) {
    attributes.residual = true;
    graph.nodes[n].inputs.push_back(residual);
  } else if (IsRelu(next) && next.inputs[0] == y) {
    attributes.relu = true;
  } else {
    return -1;
  }
  if (RunningStatistics* norm = StatisticsOf(graph, y)) norm->normalized = next.outputs[0];
  MoveInto(graph, reader, n);
  return reader;
}

bool FuseSkip(Graph& graph, const Uses& uses, int n) {
  auto& attributes = std::get<kernels::NormAttributes>(graph.nodes[n].attributes);
  const ValueId dx = graph.nodes[n].outputs[0];
  const int reader = OnlyReader(uses, dx);
  if (reader < 0 || attributes.residual) return false;
  const ValueId skip = OtherAddend(graph, graph.nodes[reader], dx);
  if (skip == kNoValue) return false;
  attributes.residual = true;
  graph.nodes[n].inputs.push_back(skip);
  MoveInto(graph, reader, n);
  return true;
}

void FuseBiasGradient(Graph& graph, const Uses& uses, int n) {
  Node& node = graph.nodes[n];
  auto& attributes = std::get<kernels::WeightGradAttributes>(node.attributes);
  const ValueId dy = graph.Root(node.inputs[0]);
  const int64_t out = graph.type(node.inputs[0]).shape[-1];
  for (int reader : uses.readers[dy]) {
    Node& other = graph.nodes[reader];
    if (attributes.bias || other.kind != OpKind::kReduceSum || other.outputs.empty()) continue;
    const auto& sum = std::get<kernels::ReduceAttributes>(other.attributes);
    if (sum.outer != 1 || sum.inner != out || sum.scale != 1 || sum.output_shape != Shape{out}) continue;
    attributes.bias = true;
    node.outputs.push_back(other.outputs[0]);
    other = Node{};
  }
}

}  // namespace

absl::StatusOr<Graph> FuseNorms(Graph graph) {
  const Uses uses(graph);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (int at = static_cast<int>(n); at >= 0 && graph.nodes[at].kind == OpKind::kBatchNorm;) {
      at = FuseNorm(graph, uses, at);
    }
  }
  RETURN_IF_ERROR(SortNodes(graph));
  return graph;
}

absl::StatusOr<Graph> FuseGradients(Graph graph) {
  const Uses uses(graph);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const int at = static_cast<int>(n);
    if (graph.nodes[n].kind == OpKind::kLayerNormGrad) FuseSkip(graph, uses, at);
    if (graph.nodes[n].kind == OpKind::kLinearWeightGrad) FuseBiasGradient(graph, uses, at);
  }
  RETURN_IF_ERROR(SortNodes(graph));
  return graph;
}

}  // namespace lockstep::graph
