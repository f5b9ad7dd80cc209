#include "runtime/graph/program_merge.h"

#include <algorithm>
#include <cstddef>

namespace lockstep::graph {

using kernels::Instruction;
using kernels::ProgramOp;

int OperandCount(ProgramOp op) {
  if (op <= ProgramOp::kConstant) return 0;
  if (op < ProgramOp::kAdd) return 1;
  return op < ProgramOp::kSelect ? 2 : 3;
}

namespace {

// The number of an instruction equal to `instruction`, appended if there is none.
uint16_t AppendOnce(BoundProgram& to, const Instruction& instruction) {
  auto& all = to.program.instructions;
  const auto found = std::find(all.begin(), all.end(), instruction);
  if (found != all.end()) return static_cast<uint16_t>(found - all.begin());
  return to.program.Append(instruction);
}

uint16_t AppendLoad(BoundProgram& to, ValueId input) {
  const auto found = std::find(to.inputs.begin(), to.inputs.end(), input);
  const auto number = static_cast<uint16_t>(found - to.inputs.begin());
  if (found == to.inputs.end()) to.inputs.push_back(input);
  return AppendOnce(to, {.op = ProgramOp::kLoad, .a = number});
}

// `instruction` with its operands renumbered; operands that it lacks become 0, so that equal ones compare
// equal.
Instruction Renumbered(Instruction instruction, const std::vector<uint16_t>& renamed) {
  const int operands = OperandCount(instruction.op);
  instruction.a = operands > 0 ? renamed[instruction.a] : 0;
  instruction.b = operands > 1 ? renamed[instruction.b] : 0;
  instruction.c = operands > 2 ? renamed[instruction.c] : 0;
  return instruction;
}

}  // namespace

BoundProgram Merge(const BoundProgram& first, const BoundProgram& second, const std::vector<bool>& kept) {
  BoundProgram merged;
  std::vector<uint16_t> of_first, of_second;
  for (const Instruction& at : first.program.instructions) {
    of_first.push_back(at.op == ProgramOp::kLoad ? AppendLoad(merged, first.inputs[at.a])
                                                 : AppendOnce(merged, Renumbered(at, of_first)));
  }
  for (const Instruction& at : second.program.instructions) {
    if (at.op != ProgramOp::kLoad) {
      of_second.push_back(AppendOnce(merged, Renumbered(at, of_second)));
      continue;
    }
    const ValueId input = second.inputs[at.a];
    const auto made = std::find(first.outputs.begin(), first.outputs.end(), input);
    of_second.push_back(made == first.outputs.end()
                            ? AppendLoad(merged, input)
                            : of_first[first.program.outputs[made - first.outputs.begin()]]);
  }
  for (size_t k = 0; k < first.outputs.size(); ++k) {
    if (!kept[k]) continue;
    merged.outputs.push_back(first.outputs[k]);
    merged.program.outputs.push_back(of_first[first.program.outputs[k]]);
  }
  for (size_t k = 0; k < second.outputs.size(); ++k) {
    merged.outputs.push_back(second.outputs[k]);
    merged.program.outputs.push_back(of_second[second.program.outputs[k]]);
  }
  return Pruned(merged);
}

BoundProgram Pruned(const BoundProgram& bound) {
  const auto& all = bound.program.instructions;
  std::vector<bool> needed(all.size(), false);
  for (uint16_t value : bound.program.outputs) needed[value] = true;
  for (size_t i = all.size(); i-- > 0;) {
    if (!needed[i]) continue;
    const int operands = OperandCount(all[i].op);
    if (operands > 0) needed[all[i].a] = true;
    if (operands > 1) needed[all[i].b] = true;
    if (operands > 2) needed[all[i].c] = true;
  }
  BoundProgram result;
  std::vector<uint16_t> renamed(all.size(), 0);
  for (size_t i = 0; i < all.size(); ++i) {
    if (!needed[i]) continue;
    renamed[i] = all[i].op == ProgramOp::kLoad ? AppendLoad(result, bound.inputs[all[i].a])
                                               : AppendOnce(result, Renumbered(all[i], renamed));
  }
  result.outputs = bound.outputs;
  for (uint16_t value : bound.program.outputs) result.program.outputs.push_back(renamed[value]);
  return result;
}

}  // namespace lockstep::graph
