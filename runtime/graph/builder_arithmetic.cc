// Builder: element-by-element operators and their broadcasting.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/core/rng.h"
#include "runtime/graph/broadcasting.h"
#include "runtime/graph/builder.h"

namespace lockstep::graph {

using kernels::Instruction;
using kernels::ProgramOp;

// `x` in a form that the kernels repeat over [micro-batch,] `full`; invalid if the shapes do not go together.
Tensor Builder::ExpandTo(Tensor x, const Shape& full, bool full_batched) {
  const Shape own = shape(x);
  if (own == full && (batched(x) == full_batched || !batched(x))) return x;
  if (!batched(x)) {
    if (own.NumElements() == 1 || IsSuffix(own, full)) return x;
    if (!HasTrailingOnes(own, full)) return {};
    if (!full_batched) return x;
    kernels::ReduceAttributes repeat = *BroadcastReduction(own, full);
    repeat.output_shape = full;
    return Op("broadcast", kernels::OpKind::kBroadcast, repeat, {x}, false);
  }
  if (HasTrailingOnes(own, full)) return x;
  if (own.NumElements() == 1) {
    Shape ones{graph_.micro_batch};
    for (int i = 0; i < full.rank(); ++i) ones.Append(1);
    return Wrap(graph_.View(x.id, ones), true);
  }
  if (!IsSuffix(own, full)) return {};
  kernels::ReduceAttributes repeat;
  repeat.outer = graph_.micro_batch;
  repeat.inner = own.NumElements();
  repeat.reduce = full.NumElements() / repeat.inner;
  repeat.output_shape = FullShape(true, full);
  return Op("broadcast", kernels::OpKind::kBroadcast, repeat, {x}, true);
}

// The program "load the inputs, then `last`" over the largest of the inputs' shapes.
Tensor Builder::Elementwise(absl::string_view op, Instruction last, absl::Span<const Tensor> inputs) {
  if (!Usable(op, inputs)) return {};
  Shape full;
  bool any_batched = false;
  for (Tensor input : inputs) {
    const Shape own = shape(input);
    const int64_t more = own.NumElements() - full.NumElements();
    if (more > 0 || (more == 0 && own.rank() > full.rank())) full = own;
    any_batched = any_batched || batched(input);
    if (dtype(input) == DType::kF64 || SizeOf(dtype(input)) == 2) {
      return FailOp(op, "works on F32, U8, I32 and I64 (the result of a loss goes to Loss or Metric only)",
                    inputs);
    }
  }
  std::vector<Tensor> expanded;
  kernels::ProgramAttributes attributes;
  attributes.full_shape = FullShape(any_batched, full);
  for (size_t i = 0; i < inputs.size(); ++i) {
    expanded.push_back(ExpandTo(inputs[i], full, any_batched));
    if (!expanded.back().valid()) return FailOp(op, "the shapes do not go together", inputs);
    attributes.program.Append({.op = ProgramOp::kLoad, .a = static_cast<uint16_t>(i)});
  }
  uint16_t result = 0;
  if (last.op != ProgramOp::kLoad) result = attributes.program.Append(last);
  attributes.program.outputs = {result};
  return Op(op, kernels::OpKind::kElementwise, std::move(attributes), expanded, any_batched);
}

namespace {

Instruction Unary(ProgramOp op, float immediate = 0) { return {.op = op, .a = 0, .immediate = immediate}; }
Instruction Binary(ProgramOp op) { return {.op = op, .a = 0, .b = 1}; }

}  // namespace

Tensor Builder::Add(Tensor a, Tensor b) { return Elementwise("add", Binary(ProgramOp::kAdd), {a, b}); }
Tensor Builder::Sub(Tensor a, Tensor b) { return Elementwise("sub", Binary(ProgramOp::kSub), {a, b}); }
Tensor Builder::Mul(Tensor a, Tensor b) { return Elementwise("mul", Binary(ProgramOp::kMul), {a, b}); }
Tensor Builder::Div(Tensor a, Tensor b) { return Elementwise("div", Binary(ProgramOp::kDiv), {a, b}); }
Tensor Builder::Maximum(Tensor a, Tensor b) {
  return Elementwise("maximum", Binary(ProgramOp::kMax), {a, b});
}
Tensor Builder::Minimum(Tensor a, Tensor b) {
  return Elementwise("minimum", Binary(ProgramOp::kMin), {a, b});
}
Tensor Builder::Scale(Tensor x, float factor) {
  return Elementwise("scale", Unary(ProgramOp::kScale, factor), {x});
}
Tensor Builder::Shift(Tensor x, float offset) {
  return Elementwise("shift", Unary(ProgramOp::kShift, offset), {x});
}
Tensor Builder::Neg(Tensor x) { return Elementwise("neg", Unary(ProgramOp::kNeg), {x}); }
Tensor Builder::Abs(Tensor x) { return Elementwise("abs", Unary(ProgramOp::kAbs), {x}); }
Tensor Builder::Square(Tensor x) { return Elementwise("square", Unary(ProgramOp::kSquare), {x}); }
Tensor Builder::Sqrt(Tensor x) { return Elementwise("sqrt", Unary(ProgramOp::kSqrt), {x}); }
Tensor Builder::Exp(Tensor x) { return Elementwise("exp", Unary(ProgramOp::kExp), {x}); }
Tensor Builder::Log(Tensor x) { return Elementwise("log", Unary(ProgramOp::kLog), {x}); }
Tensor Builder::Relu(Tensor x) { return Elementwise("relu", Unary(ProgramOp::kRelu), {x}); }
Tensor Builder::Tanh(Tensor x) { return Elementwise("tanh", Unary(ProgramOp::kTanh), {x}); }
Tensor Builder::Sigmoid(Tensor x) { return Elementwise("sigmoid", Unary(ProgramOp::kSigmoid), {x}); }
Tensor Builder::Silu(Tensor x) { return Elementwise("silu", Unary(ProgramOp::kSilu), {x}); }

Tensor Builder::Gelu(Tensor x, GeluKind kind) {
  return Elementwise("gelu", Unary(kind == GeluKind::kErf ? ProgramOp::kGeluErf : ProgramOp::kGeluTanh), {x});
}

Tensor Builder::ToFloat(Tensor x) {
  if (Usable("to_float", {x}) && dtype(x) == DType::kF32) return x;
  return Elementwise("to_float", {.op = ProgramOp::kLoad}, {x});
}

Tensor Builder::Dropout(Tensor x, float rate) {
  if (!Usable("dropout", {x})) return {};
  if (!(rate >= 0 && rate < 1))
    return FailOp("dropout", absl::StrCat("the rate must be in [0, 1), not ", rate), {x});
  if (!batched(x)) return FailOp("dropout", "needs a tensor that depends on the sample", {x});
  const int use = dropout_sites_[prefix_]++;
  if (rate == 0) return x;
  Instruction drop = Unary(ProgramOp::kDropout, rate);
  drop.site = DeriveKey(0, absl::StrCat("dropout/", prefix_, use));
  return Elementwise("dropout", drop, {x});
}

}  // namespace lockstep::graph
