#include "runtime/graph/evaluation.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace lockstep::graph {
namespace {

using kernels::Instruction;
using kernels::OpKind;
using kernels::ProgramOp;

// The same program with every dropout replaced by its operand.
kernels::Program WithoutDropout(const kernels::Program& program) {
  kernels::Program result;
  std::vector<uint16_t> renamed;
  for (Instruction instruction : program.instructions) {
    if (instruction.op == ProgramOp::kDropout) {
      renamed.push_back(renamed[instruction.a]);
      continue;
    }
    if (instruction.op != ProgramOp::kLoad) {  // operands that an operator lacks are 0 and may stay so
      const auto rename = [&](uint16_t value) { return value < renamed.size() ? renamed[value] : value; };
      instruction.a = rename(instruction.a);
      instruction.b = rename(instruction.b);
      instruction.c = rename(instruction.c);
    }
    renamed.push_back(result.Append(instruction));
  }
  for (uint16_t value : program.outputs) result.outputs.push_back(renamed[value]);
  return result;
}

}  // namespace

absl::StatusOr<Graph> ForEvaluation(Graph graph) {
  if (!graph.gradients.empty()) return absl::InternalError("graph: evaluation of a graph that has gradients");
  graph.updates.clear();
  for (const RunningStatistics& norm : graph.norms) {
    Node& node = graph.nodes[graph.values[norm.normalized].index];
    if (node.kind != OpKind::kBatchNorm)
      return absl::InternalError(absl::StrCat("graph: no batch norm: ", node.name));
    node.kind = OpKind::kBatchNormInference;
    node.inputs.insert(node.inputs.begin() + 3, {norm.mean, norm.variance});
    node.outputs.resize(1);
  }
  for (Node& node : graph.nodes) {
    if (auto* attributes = std::get_if<kernels::ProgramAttributes>(&node.attributes)) {
      attributes->program = WithoutDropout(attributes->program);
    }
  }
  RemoveDeadNodes(graph);
  return graph;
}

}  // namespace lockstep::graph
