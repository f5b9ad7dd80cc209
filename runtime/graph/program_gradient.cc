#include "runtime/graph/program_gradient.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "runtime/graph/program_merge.h"

namespace lockstep::graph {
namespace {

using kernels::Instruction;
using kernels::Program;
using kernels::ProgramOp;

class Differentiator {
 public:
  Differentiator(const Program& forward, const std::vector<bool>& wanted, const std::vector<bool>& given)
      : forward_(forward),
        active_(forward.instructions.size(), false),
        adjoint_(forward.instructions.size(), kNone),
        value_(forward.instructions.size(), kNone),
        input_adjoint_(wanted.size(), kNone) {
    for (size_t i = 0; i < active_.size(); ++i) {
      const Instruction& at = forward.instructions[i];
      const int operands = OperandCount(at.op);
      active_[i] = (at.op == ProgramOp::kLoad && wanted[at.a]) || (operands > 0 && active_[at.a]) ||
                   (operands > 1 && active_[at.b]) || (operands > 2 && active_[at.c]);
    }
    for (size_t k = 0; k < given.size(); ++k) {
      if (given[k])
        AddAdjoint(forward.outputs[k], Load({GradientOperand::Kind::kOutputGradient, static_cast<int>(k)}));
    }
  }

  ProgramGradient Run() {
    for (size_t i = forward_.instructions.size(); i-- > 0;) {
      if (adjoint_[i] != kNone) Reverse(i);
    }
    for (size_t i = 0; i < input_adjoint_.size(); ++i) {
      if (input_adjoint_[i] == kNone) continue;
      const auto value = static_cast<uint16_t>(input_adjoint_[i]);
      const Instruction& made = result_.program.instructions[value];
      if (made.op == ProgramOp::kLoad) {
        result_.gradients.push_back({static_cast<int>(i), made.a, -1});
      } else {
        result_.gradients.push_back(
            {static_cast<int>(i), -1, static_cast<int>(result_.program.outputs.size())});
        result_.program.outputs.push_back(value);
      }
    }
    return std::move(result_);
  }

 private:
  static constexpr int kNone = -1;

  int Emit(Instruction instruction) { return result_.program.Append(instruction); }
  int Emit(ProgramOp op, int a, int b = 0, int c = 0) {
    return Emit({.op = op,
                 .a = static_cast<uint16_t>(a),
                 .b = static_cast<uint16_t>(b),
                 .c = static_cast<uint16_t>(c)});
  }
  int EmitScaled(int a, float factor) {
    return Emit({.op = ProgramOp::kScale, .a = static_cast<uint16_t>(a), .immediate = factor});
  }
  int EmitConstant(float value) { return Emit({.op = ProgramOp::kConstant, .immediate = value}); }

  int Load(GradientOperand operand) {
    const auto found = std::find(result_.operands.begin(), result_.operands.end(), operand);
    const auto number = static_cast<uint16_t>(found - result_.operands.begin());
    if (found == result_.operands.end()) result_.operands.push_back(operand);
    for (size_t i = 0; i < result_.program.instructions.size(); ++i) {
      const Instruction& at = result_.program.instructions[i];
      if (at.op == ProgramOp::kLoad && at.a == number) return static_cast<int>(i);
    }
    return Emit({.op = ProgramOp::kLoad, .a = number});
  }

  // The value of forward instruction i, in the derivative program.
  int Value(size_t i) {
    if (value_[i] != kNone) return value_[i];
    Instruction at = forward_.instructions[i];
    const auto output = std::find(forward_.outputs.begin(), forward_.outputs.end(), i);
    if (at.op == ProgramOp::kLoad) return value_[i] = Load({GradientOperand::Kind::kInput, at.a});
    if (output != forward_.outputs.end()) {
      const auto index = static_cast<int>(output - forward_.outputs.begin());
      return value_[i] = Load({GradientOperand::Kind::kOutput, index});
    }
    const int operands = OperandCount(at.op);
    if (operands > 0) at.a = static_cast<uint16_t>(Value(at.a));
    if (operands > 1) at.b = static_cast<uint16_t>(Value(at.b));
    if (operands > 2) at.c = static_cast<uint16_t>(Value(at.c));
    return value_[i] = Emit(at);
  }

  void AddAdjoint(size_t i, int gradient) {
    if (!active_[i]) return;
    adjoint_[i] = adjoint_[i] == kNone ? gradient : Emit(ProgramOp::kAdd, adjoint_[i], gradient);
  }

  // Half of the gradient goes to each side where both are equal, as in torch.
  void ReverseExtremum(const Instruction& at, int dy) {
    const int tie = EmitScaled(Emit(ProgramOp::kEqual, Value(at.a), Value(at.b)), 0.5f);
    const bool max = at.op == ProgramOp::kMax;
    const int a_wins = Emit(ProgramOp::kGreater, Value(max ? at.a : at.b), Value(max ? at.b : at.a));
    const int b_wins = Emit(ProgramOp::kGreater, Value(max ? at.b : at.a), Value(max ? at.a : at.b));
    if (active_[at.a]) AddAdjoint(at.a, Emit(ProgramOp::kMul, dy, Emit(ProgramOp::kAdd, a_wins, tie)));
    if (active_[at.b]) AddAdjoint(at.b, Emit(ProgramOp::kMul, dy, Emit(ProgramOp::kAdd, b_wins, tie)));
  }

  void Reverse(size_t i) {
    const Instruction& at = forward_.instructions[i];
    if (OperandCount(at.op) > 1) {
      ReverseMany(i);
    } else if (at.op == ProgramOp::kLoad) {
      int& total = input_adjoint_[at.a];
      total = total == kNone ? adjoint_[i] : Emit(ProgramOp::kAdd, total, adjoint_[i]);
    } else if (at.op != ProgramOp::kConstant && at.op != ProgramOp::kResult) {
      AddAdjoint(at.a, UnaryGradient(i));
    }
  }

  // The gradient of a in y = op(a).
  int UnaryGradient(size_t i) {
    const Instruction& at = forward_.instructions[i];
    const int dy = adjoint_[i];
    switch (at.op) {
      case ProgramOp::kNeg:
        return Emit(ProgramOp::kNeg, dy);
      case ProgramOp::kAbs: {
        const int zero = EmitConstant(0);
        const int sign = Emit(ProgramOp::kSub, Emit(ProgramOp::kGreater, Value(at.a), zero),
                              Emit(ProgramOp::kGreater, zero, Value(at.a)));
        return Emit(ProgramOp::kMul, dy, sign);
      }
      case ProgramOp::kSquare:
        return Emit(ProgramOp::kMul, EmitScaled(Value(at.a), 2), dy);
      case ProgramOp::kSqrt:
        return Emit(ProgramOp::kDiv, EmitScaled(dy, 0.5f), Value(i));
      case ProgramOp::kRsqrt:
        return Emit(ProgramOp::kMul, EmitScaled(dy, -0.5f),
                    Emit(ProgramOp::kMul, Value(i), Emit(ProgramOp::kSquare, Value(i))));
      case ProgramOp::kReciprocal:
        return Emit(ProgramOp::kMul, Emit(ProgramOp::kNeg, dy), Emit(ProgramOp::kSquare, Value(i)));
      case ProgramOp::kExp:
        return Emit(ProgramOp::kMul, dy, Value(i));
      case ProgramOp::kLog:
        return Emit(ProgramOp::kDiv, dy, Value(at.a));
      case ProgramOp::kScale:
        return EmitScaled(dy, at.immediate);
      case ProgramOp::kRelu:
        return Emit(ProgramOp::kReluGrad, Value(i), dy);
      case ProgramOp::kTanh:
        return Emit(ProgramOp::kTanhGrad, Value(i), dy);
      case ProgramOp::kSigmoid:
        return Emit(ProgramOp::kSigmoidGrad, Value(i), dy);
      case ProgramOp::kSilu:
        return Emit(ProgramOp::kSiluGrad, Value(at.a), dy);
      case ProgramOp::kGeluTanh:
        return Emit(ProgramOp::kGeluTanhGrad, Value(at.a), dy);
      case ProgramOp::kGeluErf:
        return Emit(ProgramOp::kGeluErfGrad, Value(at.a), dy);
      case ProgramOp::kDropout: {
        Instruction mask = at;
        mask.a = static_cast<uint16_t>(dy);
        return Emit(mask);
      }
      default:  // kShift
        return dy;
    }
  }

  void ReverseMany(size_t i) {
    const Instruction& at = forward_.instructions[i];
    const int dy = adjoint_[i];
    switch (at.op) {
      case ProgramOp::kAdd:
        AddAdjoint(at.a, dy);
        AddAdjoint(at.b, dy);
        return;
      case ProgramOp::kSub:
        AddAdjoint(at.a, dy);
        if (active_[at.b]) AddAdjoint(at.b, Emit(ProgramOp::kNeg, dy));
        return;
      case ProgramOp::kMulAdd:
        AddAdjoint(at.c, dy);
        [[fallthrough]];
      case ProgramOp::kMul:
        if (active_[at.a]) AddAdjoint(at.a, Emit(ProgramOp::kMul, dy, Value(at.b)));
        if (active_[at.b]) AddAdjoint(at.b, Emit(ProgramOp::kMul, dy, Value(at.a)));
        return;
      case ProgramOp::kDiv: {
        const int da = Emit(ProgramOp::kDiv, dy, Value(at.b));
        AddAdjoint(at.a, da);
        if (active_[at.b]) AddAdjoint(at.b, Emit(ProgramOp::kNeg, Emit(ProgramOp::kMul, da, Value(i))));
        return;
      }
      case ProgramOp::kMax:
      case ProgramOp::kMin:
        return ReverseExtremum(at, dy);
      case ProgramOp::kSelect: {
        const int zero = EmitConstant(0);
        if (active_[at.b]) AddAdjoint(at.b, Emit(ProgramOp::kSelect, Value(at.a), dy, zero));
        if (active_[at.c]) AddAdjoint(at.c, Emit(ProgramOp::kSelect, Value(at.a), zero, dy));
        return;
      }
      default:  // comparisons are flat; derivatives of derivatives are not needed
        return;
    }
  }

  const Program& forward_;
  std::vector<bool> active_;  // depends on a wanted input
  std::vector<int> adjoint_, value_, input_adjoint_;
  ProgramGradient result_;
};

}  // namespace

ProgramGradient DifferentiateProgram(const Program& forward, const std::vector<bool>& wanted,
                                     const std::vector<bool>& given) {
  return Differentiator(forward, wanted, given).Run();
}

}  // namespace lockstep::graph
