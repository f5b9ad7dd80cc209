// The derivative of an elementwise program is an elementwise program.
#ifndef LOCKSTEP_RUNTIME_GRAPH_PROGRAM_GRADIENT_H_
#define LOCKSTEP_RUNTIME_GRAPH_PROGRAM_GRADIENT_H_

#include <cstdint>
#include <vector>

#include "kernels/program.h"

namespace lockstep::graph {

// What an input of the derivative program is.
struct GradientOperand {
  enum class Kind : uint8_t { kInput, kOutput, kOutputGradient };
  Kind kind = Kind::kInput;
  int index = 0;  // of the forward program's input or output

  friend bool operator==(const GradientOperand&, const GradientOperand&) = default;
};

struct ProgramGradient {
  kernels::Program
      program;  // its kLoad numbers index `operands`; no outputs if every gradient is an operand as it is
  std::vector<GradientOperand> operands;
  struct InputGradient {
    int input = 0;    // of the forward program
    int operand = 0;  // >= 0: the gradient is this operand itself
    int output = -1;  // >= 0: the gradient is this output of `program`
  };
  std::vector<InputGradient> gradients;  // only of wanted inputs that have one
};

// `wanted[i]`: the gradient of input i is needed. `given[k]`: output k has a gradient. Gradients have the
// full shape; the caller sums them back to the shape of a broadcast input. Values are recomputed from inputs,
// or read where they are outputs of the forward program.
ProgramGradient DifferentiateProgram(const kernels::Program& forward, const std::vector<bool>& wanted,
                                     const std::vector<bool>& given);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_PROGRAM_GRADIENT_H_
