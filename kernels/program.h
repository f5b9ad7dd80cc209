// Elementwise programs: a chain of arithmetic on whole tensors that needs one pass through memory.
//
// A program is a list of instructions in single-assignment form. Instruction i defines value i; operands name
// earlier values. It runs alone (OpKind::kElementwise) or on the results of a linear layer while they are
// still in the cache (LinearAttributes::epilogue). Values are fp32. A kernel interprets a program tile by
// tile, so that intermediate values never leave the first-level cache; it finds the registers that it needs
// itself.
//
// Determinism: the value of an element is a function of the same element of the inputs alone. Bits may differ
// between instruction sets (transcendental functions are evaluated in vectors), never between tiles, threads
// or addresses.
#ifndef LOCKSTEP_KERNELS_PROGRAM_H_
#define LOCKSTEP_KERNELS_PROGRAM_H_

#include <cstdint>
#include <vector>

namespace lockstep::kernels {

enum class ProgramOp : uint8_t {
  // Sources.
  kLoad,      // extra input number `a`, broadcast to the full shape (rules below), converted to fp32
  kResult,    // the result of the linear layer (only in an epilogue)
  kConstant,  // `immediate` in every element
  // One operand, a.
  kNeg,
  kAbs,
  kSquare,
  kSqrt,
  kRsqrt,
  kReciprocal,
  kExp,
  kLog,
  kScale,  // a * immediate
  kShift,  // a + immediate
  kRelu,   // max(a, 0); NaN stays NaN
  kTanh,
  kSigmoid,
  kSilu,      // a * sigmoid(a)
  kGeluTanh,  // a/2 (1 + tanh(sqrt(2/pi) (a + 0.044715 a^3)))   (Hendrycks, Gimpel, arXiv:1606.08415)
  kGeluErf,   // a/2 (1 + erf(a / sqrt(2)))
  kDropout,   // a / (1 - rate) where kept, else 0; rate = immediate in [0, 1); see `site`
  // Two operands, a and b.
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,
  kGreater,
  kEqual,         // 1 or 0
  kReluGrad,      // (y or x, dy): dy where a > 0, else 0
  kTanhGrad,      // (y, dy): dy (1 - y^2)
  kSigmoidGrad,   // (y, dy): dy y (1 - y)
  kSiluGrad,      // (x, dy)
  kGeluTanhGrad,  // (x, dy)
  kGeluErfGrad,   // (x, dy)
  // Three operands, a, b and c.
  kSelect,  // a != 0 ? b : c
  kMulAdd,  // a * b + c, rounded once
};

struct Instruction {
  ProgramOp op;
  uint16_t a = 0, b = 0, c = 0;  // values; for kLoad, a is the number of an extra input
  float immediate = 0;
  // kDropout: names the place in the model (give each layer its own; the gradient uses the same site and rate
  // on dy). Element e of the sample at position p is dropped when UniformFloat(word) < rate, where word is
  // number (e % 64) / 16 of Philox(RunContext::dropout_key ^ site, e / 64 * 16 + e % 16, p): a function of
  // the sample's position, never of how samples are split into micro-batches.
  uint64_t site = 0;

  friend bool operator==(const Instruction&, const Instruction&) = default;
};

// Broadcasting of an extra input (and of each input of kElementwise) to the full shape F, by its shape S:
//   S == F                      one element each                      ([B, T, C] into [B, T, C])
//   one element                 the same everywhere                   ([] or [1])
//   S is a suffix of F          repeats                               ([C] or [T, C] into [B, T, C])
//   S is F with trailing ones   each element covers a run of elements ([B, T, 1] or [B, 1, 1] into [B, T, C])
// Leading ones of S are dropped before the suffix rule. Anything else is an error: kBroadcast makes it
// explicit. Inputs may be F32, U8, I32 or I64 (converted to the nearest fp32); outputs are F32.
struct Program {
  std::vector<Instruction> instructions;
  std::vector<uint16_t> outputs;  // the value that output number i of the op holds

  bool empty() const { return instructions.empty(); }

  // Appends one instruction and gives the number of its value.
  uint16_t Append(const Instruction& instruction) {
    instructions.push_back(instruction);
    return static_cast<uint16_t>(instructions.size() - 1);
  }

  friend bool operator==(const Program&, const Program&) = default;
};

}  // namespace lockstep::kernels

#endif  // LOCKSTEP_KERNELS_PROGRAM_H_
