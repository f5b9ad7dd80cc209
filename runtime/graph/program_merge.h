// Joining and tidying of elementwise programs.
#ifndef LOCKSTEP_RUNTIME_GRAPH_PROGRAM_MERGE_H_
#define LOCKSTEP_RUNTIME_GRAPH_PROGRAM_MERGE_H_

#include <vector>

#include "kernels/program.h"
#include "runtime/graph/graph.h"

namespace lockstep::graph {

// A program and what it stands on: kLoad(i) reads inputs[i], output number k is outputs[k].
struct BoundProgram {
  kernels::Program program;
  std::vector<ValueId> inputs, outputs;
};

// How many values an instruction reads.
int OperandCount(kernels::ProgramOp op);

// The program that does `first`, then `second`, which reads outputs of `first`; its outputs are those of
// `first` that `kept` names, then those of `second`. Equal instructions become one.
BoundProgram Merge(const BoundProgram& first, const BoundProgram& second, const std::vector<bool>& kept);

// Drops instructions and inputs that no output needs.
BoundProgram Pruned(const BoundProgram& bound);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_PROGRAM_MERGE_H_
