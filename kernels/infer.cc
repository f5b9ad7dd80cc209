// The types of an operator's outputs, and with them the check of its inputs.
#include <variant>

#include "kernels/infer_checks.h"

namespace lockstep::kernels::infer {
namespace {

bool Broadcasts(const Shape& shape, const Shape& full) {
  if (shape == full || shape.NumElements() == 1) return true;
  int first = 0;
  while (first < shape.rank() && shape[first] == 1) ++first;
  const int suffix = shape.rank() - first;
  bool is_suffix = suffix <= full.rank();
  for (int i = 0; is_suffix && i < suffix; ++i)
    is_suffix = shape[first + i] == full[full.rank() - suffix + i];
  if (is_suffix) return true;
  if (shape.rank() != full.rank()) return false;
  int i = 0;
  while (i < shape.rank() && shape[i] == full[i]) ++i;
  while (i < shape.rank() && shape[i] == 1) ++i;
  return i == shape.rank();
}

int OperandCount(ProgramOp op) {
  if (op <= ProgramOp::kConstant) return 0;
  if (op < ProgramOp::kAdd) return 1;
  return op < ProgramOp::kSelect ? 2 : 3;
}

Inferred InferProgram(const OpSpec& spec, const Program& program, int first_input, const Shape& full,
                      bool has_result) {
  LOCKSTEP_REQUIRE(!program.outputs.empty(), "the program has no outputs");
  const size_t extra = spec.inputs.size() - first_input;
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction& instruction = program.instructions[i];
    const int operands = OperandCount(instruction.op);
    LOCKSTEP_REQUIRE(operands < 1 || instruction.a < i, "instruction ", i, " uses a later value");
    LOCKSTEP_REQUIRE(operands < 2 || instruction.b < i, "instruction ", i, " uses a later value");
    LOCKSTEP_REQUIRE(operands < 3 || instruction.c < i, "instruction ", i, " uses a later value");
    LOCKSTEP_REQUIRE(instruction.op != ProgramOp::kResult || has_result,
                     "kResult is for the epilogue of a linear layer");
    LOCKSTEP_REQUIRE(instruction.op != ProgramOp::kLoad || instruction.a < extra, "instruction ", i,
                     " loads input ", instruction.a, " of ", extra);
    LOCKSTEP_REQUIRE(
        instruction.op != ProgramOp::kDropout || (instruction.immediate >= 0 && instruction.immediate < 1),
        "a dropout rate must be in [0, 1)");
  }
  for (size_t i = first_input; i < spec.inputs.size(); ++i) {
    const DType dtype = spec.inputs[i].dtype;
    LOCKSTEP_REQUIRE(
        dtype == DType::kF32 || dtype == DType::kU8 || dtype == DType::kI32 || dtype == DType::kI64, "input ",
        i, " must be F32, U8, I32 or I64");
    LOCKSTEP_REQUIRE(Broadcasts(In(spec, i), full), "input ", i, " does not broadcast to ", full.ToString());
  }
  Types outputs;
  for (uint16_t value : program.outputs) {
    LOCKSTEP_REQUIRE(value < program.instructions.size(), "an output names a value that does not exist");
    outputs.push_back(F32(full));
  }
  return outputs;
}

Inferred InferMatMul(const OpSpec& spec) {
  const auto& attributes = std::get<MatMulAttributes>(spec.attributes);
  RETURN_IF_ERROR(CheckCount(spec, 2));
  RETURN_IF_ERROR(CheckF32(spec, {0, 1}));
  const Shape &a = In(spec, 0), &b = In(spec, 1);
  LOCKSTEP_REQUIRE(a.rank() >= 2 && b.rank() >= 2, "both inputs need two dimensions or more");
  LOCKSTEP_REQUIRE(b.rank() == 2 || b.rank() == a.rank(), "leading dimensions differ");
  for (int i = 0; b.rank() > 2 && i + 2 < a.rank(); ++i)
    LOCKSTEP_REQUIRE(a[i] == b[i], "leading dimensions differ");
  const int64_t m = attributes.transpose_a ? a[-1] : a[-2], k = attributes.transpose_a ? a[-2] : a[-1];
  const int64_t n = attributes.transpose_b ? b[-2] : b[-1], kb = attributes.transpose_b ? b[-1] : b[-2];
  LOCKSTEP_REQUIRE(k == kb, "inner dimensions differ: ", k, " and ", kb);
  Shape y = a;
  y.Set(-2, m);
  y.Set(-1, n);
  return Types{F32(y)};
}

Inferred InferLinear(const OpSpec& spec) {
  const auto& epilogue = std::get<LinearAttributes>(spec.attributes).epilogue;
  LOCKSTEP_REQUIRE(spec.inputs.size() >= 2, "takes at least 2 inputs");
  RETURN_IF_ERROR(CheckF32(spec, {0, 1}));
  const Shape &x = In(spec, 0), &w = In(spec, 1);
  const bool forward = spec.kind == OpKind::kLinear;
  LOCKSTEP_REQUIRE(x.rank() >= 1 && w.rank() == 2 && x[-1] == w[forward ? 1 : 0],
                   "the last dimension must be the weight's ", forward ? "second" : "first");
  const Shape y = WithLast(x, w[forward ? 0 : 1]);
  if (!epilogue.empty()) return InferProgram(spec, epilogue, 2, y, true);
  RETURN_IF_ERROR(CheckCount(spec, 2));
  return Types{F32(y)};
}

Inferred InferLinearWeightGrad(const OpSpec& spec) {
  RETURN_IF_ERROR(CheckCount(spec, 2));
  RETURN_IF_ERROR(CheckF32(spec, {0, 1}));
  const Shape &dy = In(spec, 0), &x = In(spec, 1);
  LOCKSTEP_REQUIRE(dy.rank() >= 1 && x.rank() >= 1 && Rows(dy) == Rows(x), "numbers of rows differ");
  Types outputs = {F32({dy[-1], x[-1]})};
  if (std::get<WeightGradAttributes>(spec.attributes).bias) outputs.push_back(F32({dy[-1]}));
  return outputs;
}

Inferred InferReduce(const OpSpec& spec) {
  const auto& attributes = std::get<ReduceAttributes>(spec.attributes);
  RETURN_IF_ERROR(CheckCount(spec, 1));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  LOCKSTEP_REQUIRE(attributes.outer >= 0 && attributes.reduce >= 0 && attributes.inner >= 0,
                   "sizes must not be negative");
  const int64_t small = attributes.outer * attributes.inner, large = small * attributes.reduce;
  const bool sum = spec.kind == OpKind::kReduceSum;
  LOCKSTEP_REQUIRE(In(spec, 0).NumElements() == (sum ? large : small), "the input must have ",
                   sum ? large : small, " elements");
  LOCKSTEP_REQUIRE(attributes.output_shape.NumElements() == (sum ? small : large), "output_shape must have ",
                   sum ? small : large, " elements, not ", attributes.output_shape.ToString());
  return Types{F32(attributes.output_shape)};
}

Inferred InferTranspose(const OpSpec& spec) {
  const auto& permutation = std::get<TransposeAttributes>(spec.attributes).permutation;
  RETURN_IF_ERROR(CheckCount(spec, 1));
  const Shape& x = In(spec, 0);
  LOCKSTEP_REQUIRE(static_cast<int>(permutation.size()) == x.rank(), "the permutation needs ", x.rank(),
                   " axes");
  unsigned seen = 0;
  Shape y;
  for (int axis : permutation) {
    LOCKSTEP_REQUIRE(axis >= 0 && axis < x.rank() && !(seen >> axis & 1), "not a permutation");
    seen |= 1u << axis;
    y.Append(x[axis]);
  }
  return Types{{spec.inputs[0].dtype, y}};
}

Inferred InferConcat(const OpSpec& spec) {
  const int axis = std::get<AxisAttributes>(spec.attributes).axis;
  LOCKSTEP_REQUIRE(!spec.inputs.empty(), "takes at least 1 input");
  TensorType y = spec.inputs[0];
  LOCKSTEP_REQUIRE(axis >= 0 && axis < y.shape.rank(), "no axis ", axis);
  for (size_t i = 1; i < spec.inputs.size(); ++i) {
    TensorType x = spec.inputs[i];
    LOCKSTEP_REQUIRE(x.shape.rank() == y.shape.rank(), "numbers of dimensions differ");
    const int64_t size = x.shape[axis];
    x.shape.Set(axis, y.shape[axis]);
    LOCKSTEP_REQUIRE(x == y, "inputs differ in more than axis ", axis);
    y.shape.Set(axis, y.shape[axis] + size);
  }
  return Types{y};
}

Inferred InferSlice(const OpSpec& spec) {
  const auto& a = std::get<SliceAttributes>(spec.attributes);
  const bool grad = spec.kind == OpKind::kSliceGrad;
  RETURN_IF_ERROR(CheckCount(spec, 1));
  TensorType y = spec.inputs[0];
  LOCKSTEP_REQUIRE(a.axis >= 0 && a.axis < y.shape.rank(), "no axis ", a.axis);
  if (grad) RETURN_IF_ERROR(CheckF32(spec, {0}));
  const int64_t length = grad ? a.input_size : y.shape[a.axis];
  LOCKSTEP_REQUIRE(a.begin >= 0 && a.size >= 0 && a.size <= length && a.begin <= length - a.size, "indices ",
                   a.begin, " to ", a.begin + a.size, " of an axis of ", length);
  if (grad) LOCKSTEP_REQUIRE(y.shape[a.axis] == a.size, "dy's axis must be ", a.size, " long");
  y.shape.Set(a.axis, grad ? a.input_size : a.size);
  return Types{y};
}

}  // namespace

Inferred Infer(const OpSpec& spec) {
  switch (spec.kind) {
    case OpKind::kElementwise: {
      const auto& attributes = std::get<ProgramAttributes>(spec.attributes);
      return InferProgram(spec, attributes.program, 0, attributes.full_shape, false);
    }
    case OpKind::kMatMul:
      return InferMatMul(spec);
    case OpKind::kLinear:
    case OpKind::kLinearInputGrad:
      return InferLinear(spec);
    case OpKind::kLinearWeightGrad:
      return InferLinearWeightGrad(spec);
    case OpKind::kConv2d:
    case OpKind::kConv2dInputGrad:
    case OpKind::kConv2dWeightGrad:
      return InferConv2d(spec);
    case OpKind::kMaxPool2d:
    case OpKind::kMaxPool2dGrad:
    case OpKind::kAvgPool2d:
    case OpKind::kAvgPool2dGrad:
      return InferPool2d(spec);
    case OpKind::kReduceSum:
    case OpKind::kBroadcast:
      return InferReduce(spec);
    case OpKind::kBatchNorm:
    case OpKind::kBatchNormGrad:
    case OpKind::kBatchNormInference:
      return InferBatchNorm(spec);
    case OpKind::kLayerNorm:
    case OpKind::kLayerNormGrad:
      return InferLayerNorm(spec);
    case OpKind::kSoftmax:
    case OpKind::kSoftmaxGrad:
      return InferSoftmax(spec);
    case OpKind::kEmbedding:
    case OpKind::kEmbeddingGrad:
      return InferEmbedding(spec);
    case OpKind::kAttention:
    case OpKind::kAttentionGrad:
      return InferAttention(spec);
    case OpKind::kRotary:
      return InferRotary(spec);
    case OpKind::kTranspose:
      return InferTranspose(spec);
    case OpKind::kConcat:
      return InferConcat(spec);
    case OpKind::kSlice:
    case OpKind::kSliceGrad:
      return InferSlice(spec);
    case OpKind::kCrossEntropy:
    case OpKind::kCrossEntropyGrad:
    case OpKind::kMeanSquaredError:
    case OpKind::kMeanSquaredErrorGrad:
    case OpKind::kAccuracy:
      return InferLoss(spec);
  }
  return Misfit(spec, "unknown operator");
}

}  // namespace lockstep::kernels::infer

namespace lockstep::kernels {

absl::StatusOr<std::vector<TensorType>> InferOutputs(const OpSpec& spec) {
  // std::get throws on the wrong alternative; nothing here may throw over the border.
  try {
    return infer::Infer(spec);
  } catch (const std::bad_variant_access&) {
    return infer::Misfit(spec, "has the attributes of another operator");
  }
}

}  // namespace lockstep::kernels
