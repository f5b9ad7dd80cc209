#include "runtime/graph/derivative_rules.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/graph/broadcasting.h"
#include "runtime/graph/program_gradient.h"

namespace lockstep::graph {

using kernels::OpKind;

std::vector<ValueId> RuleContext::Emit(OpKind kind, kernels::OpAttributes attributes,
                                       std::vector<ValueId> inputs) {
  if (!error_.ok()) return {};
  absl::StatusOr<std::vector<ValueId>> outputs =
      graph_->Append(absl::StrCat(node_.name, ".grad"), kind, std::move(attributes), std::move(inputs));
  if (!outputs.ok()) {
    error_ = absl::InternalError(absl::StrCat("autodiff: ", outputs.status().message()));
    return {};
  }
  return *outputs;
}

ValueId RuleContext::Emit1(OpKind kind, kernels::OpAttributes attributes, std::vector<ValueId> inputs) {
  const std::vector<ValueId> outputs = Emit(kind, std::move(attributes), std::move(inputs));
  return outputs.empty() ? kNoValue : outputs[0];
}

namespace {

template <typename Attributes>
const Attributes& AttributesOf(RuleContext& c) {
  return std::get<Attributes>(c.node().attributes);
}

// Gives outputs[k] to input number inputs[k].
void GiveAll(RuleContext& c, const std::vector<ValueId>& outputs, const std::vector<int>& inputs) {
  if (outputs.empty()) return;
  for (size_t k = 0; k < inputs.size(); ++k) c.Give(inputs[k], outputs[k]);
}

void Elementwise(RuleContext& c) {
  const auto& attributes = AttributesOf<kernels::ProgramAttributes>(c);
  std::vector<bool> wanted, given;
  for (size_t i = 0; i < c.node().inputs.size(); ++i) wanted.push_back(c.Needs(static_cast<int>(i)));
  for (size_t k = 0; k < c.node().outputs.size(); ++k) given.push_back(c.dy(static_cast<int>(k)) != kNoValue);
  ProgramGradient gradient = DifferentiateProgram(attributes.program, wanted, given);
  std::vector<ValueId> operands;
  for (const GradientOperand& operand : gradient.operands) {
    using Kind = GradientOperand::Kind;
    operands.push_back(operand.kind == Kind::kInput    ? c.in(operand.index)
                       : operand.kind == Kind::kOutput ? c.out(operand.index)
                                                       : c.dy(operand.index));
  }
  std::vector<ValueId> outputs;
  if (!gradient.program.outputs.empty()) {
    outputs = c.Emit(OpKind::kElementwise,
                     kernels::ProgramAttributes{gradient.program, attributes.full_shape}, operands);
    if (outputs.empty()) return;
  }
  for (const auto& [input, operand, output] : gradient.gradients) {
    ValueId dx = output >= 0 ? outputs[output] : operands[operand];
    const Shape shape = c.graph().type(c.in(input)).shape;
    if (shape.NumElements() != attributes.full_shape.NumElements()) {
      dx = c.Emit1(OpKind::kReduceSum, *BroadcastReduction(shape, attributes.full_shape), {dx});
    }
    c.Give(input, dx);
  }
}

// The gradient of b where b is one matrix for every matrix of a: a and dy are taken as one tall matrix each.
void GiveSharedMatrix(RuleContext& c) {
  const auto& attributes = AttributesOf<kernels::MatMulAttributes>(c);
  const auto tall = [&](ValueId id) {
    const Shape& shape = c.graph().type(id).shape;
    return c.View(id, {shape.Product(0, shape.rank() - 1), shape[-1]});
  };
  kernels::MatMulAttributes product{.transpose_a = true, .transpose_b = false, .scale = attributes.scale};
  const ValueId a = tall(c.in(0)), dy = tall(c.dy());
  c.Give(1, attributes.transpose_b ? c.Emit1(OpKind::kMatMul, product, {dy, a})
                                   : c.Emit1(OpKind::kMatMul, product, {a, dy}));
}

void MatMul(RuleContext& c) {
  const auto& attributes = AttributesOf<kernels::MatMulAttributes>(c);
  const bool ta = attributes.transpose_a, tb = attributes.transpose_b;
  const ValueId a = c.in(0), b = c.in(1), dy = c.dy();
  const auto product = [&](ValueId x, bool tx, ValueId y, bool ty) {
    return c.Emit1(OpKind::kMatMul, kernels::MatMulAttributes{tx, ty, attributes.scale}, {x, y});
  };
  const bool shared = c.graph().type(b).shape.rank() == 2 && c.graph().type(a).shape.rank() > 2;
  if (c.Needs(1)) {
    if (shared) {
      GiveSharedMatrix(c);
    } else {
      c.Give(1, tb ? product(dy, true, a, ta) : product(a, !ta, dy, false));
    }
  }
  if (c.Needs(0)) c.Give(0, ta ? product(b, tb, dy, true) : product(dy, false, b, !tb));
}

void Linear(RuleContext& c) {
  if (c.Needs(1)) {
    c.Give(1, c.Emit1(OpKind::kLinearWeightGrad, kernels::WeightGradAttributes{}, {c.dy(), c.in(0)}));
  }
  if (c.Needs(0))
    c.Give(0, c.Emit1(OpKind::kLinearInputGrad, kernels::LinearAttributes{}, {c.dy(), c.in(1)}));
}

void Conv2d(RuleContext& c) {
  auto attributes = AttributesOf<kernels::Conv2dAttributes>(c);
  if (c.Needs(1) || (attributes.bias && c.Needs(2))) {
    const auto outputs = c.Emit(OpKind::kConv2dWeightGrad, attributes, {c.dy(), c.in(0)});
    GiveAll(c, outputs, attributes.bias ? std::vector<int>{1, 2} : std::vector<int>{1});
  }
  if (!c.Needs(0)) return;
  const Shape& image = c.graph().type(c.in(0)).shape;
  attributes.bias = false;
  attributes.input_height = image[1];
  attributes.input_width = image[2];
  c.Give(0, c.Emit1(OpKind::kConv2dInputGrad, attributes, {c.dy(), c.in(1)}));
}

kernels::Pool2dAttributes PoolGradAttributes(RuleContext& c) {
  auto attributes = AttributesOf<kernels::Pool2dAttributes>(c);
  const Shape& image = c.graph().type(c.in(0)).shape;
  attributes.input_height = image[1];
  attributes.input_width = image[2];
  return attributes;
}

void MaxPool(RuleContext& c) {
  c.Give(0, c.Emit1(OpKind::kMaxPool2dGrad, PoolGradAttributes(c), {c.dy(), c.out(1)}));
}

void AvgPool(RuleContext& c) { c.Give(0, c.Emit1(OpKind::kAvgPool2dGrad, PoolGradAttributes(c), {c.dy()})); }

// Sum and repetition are each other's transpose.
void ReduceSum(RuleContext& c) {
  auto attributes = AttributesOf<kernels::ReduceAttributes>(c);
  attributes.output_shape = c.graph().type(c.in(0)).shape;
  c.Give(0, c.Emit1(OpKind::kBroadcast, attributes, {c.dy()}));
}

void Broadcast(RuleContext& c) {
  auto attributes = AttributesOf<kernels::ReduceAttributes>(c);
  attributes.output_shape = c.graph().type(c.in(0)).shape;
  c.Give(0, c.Emit1(OpKind::kReduceSum, attributes, {c.dy()}));
}

void BatchNorm(RuleContext& c) {
  const auto& attributes = AttributesOf<kernels::NormAttributes>(c);
  std::vector<ValueId> inputs = {c.dy(), c.in(0)};
  if (attributes.relu) inputs.push_back(c.out(0));
  for (ValueId id : {c.in(1), c.out(1), c.out(2)}) inputs.push_back(id);
  const auto outputs = c.Emit(OpKind::kBatchNormGrad, attributes, inputs);
  GiveAll(c, outputs, attributes.residual ? std::vector<int>{0, 1, 2, 3} : std::vector<int>{0, 1, 2});
}

void LayerNorm(RuleContext& c) {
  const auto& attributes = AttributesOf<kernels::NormAttributes>(c);
  GiveAll(c, c.Emit(OpKind::kLayerNormGrad, attributes, {c.dy(), c.in(0), c.in(1), c.out(1), c.out(2)}),
          {0, 1, 2});
}

void Softmax(RuleContext& c) {
  c.Give(0, c.Emit1(OpKind::kSoftmaxGrad, kernels::NoAttributes{}, {c.out(0), c.dy()}));
}

void Embedding(RuleContext& c) {
  const kernels::EmbeddingGradAttributes attributes{c.graph().type(c.in(1)).shape[0]};
  c.Give(1, c.Emit1(OpKind::kEmbeddingGrad, attributes, {c.dy(), c.in(0)}));
}

void Attention(RuleContext& c) {
  const auto& attributes = AttributesOf<kernels::AttentionAttributes>(c);
  std::vector<ValueId> inputs = {c.dy(), c.out(0), c.out(1)};
  for (ValueId id : c.node().inputs) inputs.push_back(id);
  const auto outputs = c.Emit(OpKind::kAttentionGrad, attributes, inputs);
  GiveAll(c, outputs, attributes.packed ? std::vector<int>{0} : std::vector<int>{0, 1, 2});
}

void Rotary(RuleContext& c) {
  auto attributes = AttributesOf<kernels::RotaryAttributes>(c);
  attributes.inverse = !attributes.inverse;
  c.Give(0, c.Emit1(OpKind::kRotary, attributes, {c.dy()}));
}

void Transpose(RuleContext& c) {
  const auto& permutation = AttributesOf<kernels::TransposeAttributes>(c).permutation;
  kernels::TransposeAttributes inverse;
  inverse.permutation.resize(permutation.size());
  for (size_t i = 0; i < permutation.size(); ++i) inverse.permutation[permutation[i]] = static_cast<int>(i);
  c.Give(0, c.Emit1(OpKind::kTranspose, inverse, {c.dy()}));
}

void Concat(RuleContext& c) {
  const int axis = AttributesOf<kernels::AxisAttributes>(c).axis;
  int64_t begin = 0;
  for (size_t i = 0; i < c.node().inputs.size(); ++i) {
    const int input = static_cast<int>(i);
    const int64_t size = c.graph().type(c.in(input)).shape[axis];
    if (c.Needs(input)) {
      const kernels::SliceAttributes part{axis, begin, size, 0};
      c.Give(input, c.Emit1(OpKind::kSlice, part, {c.dy()}));
    }
    begin += size;
  }
}

void Slice(RuleContext& c) {
  auto attributes = AttributesOf<kernels::SliceAttributes>(c);
  attributes.input_size = c.graph().type(c.in(0)).shape[attributes.axis];
  c.Give(0, c.Emit1(OpKind::kSliceGrad, attributes, {c.dy()}));
}

void CrossEntropy(RuleContext& c) {
  c.Give(0, c.Emit1(OpKind::kCrossEntropyGrad, kernels::NoAttributes{},
                    {c.in(0), c.in(1), c.in(2), c.out(1), c.dy()}));
}

void MeanSquaredError(RuleContext& c) {
  const ValueId dx =
      c.Emit1(OpKind::kMeanSquaredErrorGrad, kernels::NoAttributes{}, {c.in(0), c.in(1), c.in(2), c.dy()});
  c.Give(0, dx);
  if (!c.Needs(1) || dx == kNoValue) return;
  kernels::ProgramAttributes negate;
  negate.full_shape = c.graph().type(dx).shape;
  negate.program.Append({.op = kernels::ProgramOp::kLoad, .a = 0});
  negate.program.outputs = {negate.program.Append({.op = kernels::ProgramOp::kNeg, .a = 0})};
  c.Give(1, c.Emit1(OpKind::kElementwise, negate, {dx}));
}

struct RuleEntry {
  OpKind kind;
  DerivativeRule rule;
};

constexpr RuleEntry kRules[] = {
    {OpKind::kElementwise, Elementwise},
    {OpKind::kMatMul, MatMul},
    {OpKind::kLinear, Linear},
    {OpKind::kConv2d, Conv2d},
    {OpKind::kMaxPool2d, MaxPool},
    {OpKind::kAvgPool2d, AvgPool},
    {OpKind::kReduceSum, ReduceSum},
    {OpKind::kBroadcast, Broadcast},
    {OpKind::kBatchNorm, BatchNorm},
    {OpKind::kLayerNorm, LayerNorm},
    {OpKind::kSoftmax, Softmax},
    {OpKind::kEmbedding, Embedding},
    {OpKind::kAttention, Attention},
    {OpKind::kRotary, Rotary},
    {OpKind::kTranspose, Transpose},
    {OpKind::kConcat, Concat},
    {OpKind::kSlice, Slice},
    {OpKind::kCrossEntropy, CrossEntropy},
    {OpKind::kMeanSquaredError, MeanSquaredError},
};

}  // namespace

DerivativeRule RuleOf(OpKind kind) {
  for (const RuleEntry& entry : kRules) {
    if (entry.kind == kind) return entry.rule;
  }
  return nullptr;
}

bool IsDifferentiable(OpKind kind, int output) {
  if (kind == OpKind::kAccuracy) return false;         // piecewise constant
  return kind == OpKind::kElementwise || output == 0;  // the others' later outputs are saved for the gradient
}

}  // namespace lockstep::graph
