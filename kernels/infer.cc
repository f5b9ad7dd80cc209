// The types of an operator's outputs, and with them the check of its inputs. The rules are those of ops.h.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/ops.h"

namespace lockstep::kernels {
namespace {

using Types = std::vector<TensorType>;
using Inferred = absl::StatusOr<Types>;

absl::Status Misfit(const OpSpec& spec, absl::string_view what) {
  OpSpec shown = spec;
  shown.outputs.clear();
  std::string text = shown.ToString();
  text.resize(text.size() - 4);  // without " -> "
  return absl::InvalidArgumentError(absl::StrCat(text, ": ", what));
}

#define REQUIRE(condition, ...) \
  if (!(condition)) return Misfit(spec, absl::StrCat(__VA_ARGS__))

TensorType F32(Shape shape) { return {DType::kF32, shape}; }
TensorType F64Scalar() { return {DType::kF64, Shape{}}; }
TensorType InvalidCount() { return {DType::kI64, Shape{2}}; }

const Shape& In(const OpSpec& spec, int i) { return spec.inputs[i].shape; }
int64_t Rows(const Shape& shape) { return shape.Product(0, shape.rank() - 1); }
bool IsIds(const TensorType& type) { return type.dtype == DType::kI32 || type.dtype == DType::kI64; }

Shape WithoutLast(const Shape& shape) {
  Shape result;
  for (int i = 0; i + 1 < shape.rank(); ++i) result.Append(shape[i]);
  return result;
}

Shape WithLast(Shape shape, int64_t size) {
  shape.Set(-1, size);
  return shape;
}

absl::Status CheckCount(const OpSpec& spec, size_t count) {
  REQUIRE(spec.inputs.size() == count, "takes ", count, " inputs, not ", spec.inputs.size());
  return absl::OkStatus();
}

absl::Status CheckF32(const OpSpec& spec, std::initializer_list<int> which) {
  for (int i : which) REQUIRE(spec.inputs[i].dtype == DType::kF32, "input ", i, " must be F32");
  return absl::OkStatus();
}

absl::Status CheckVectors(const OpSpec& spec, int first, int last, int64_t size) {
  for (int i = first; i <= last; ++i) {
    REQUIRE(spec.inputs[i] == F32({size}), "input ", i, " must be F32[", size, "]");
  }
  return absl::OkStatus();
}

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
  REQUIRE(!program.outputs.empty(), "the program has no outputs");
  const size_t extra = spec.inputs.size() - first_input;
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction& instruction = program.instructions[i];
    const int operands = OperandCount(instruction.op);
    REQUIRE(operands < 1 || instruction.a < i, "instruction ", i, " uses a later value");
    REQUIRE(operands < 2 || instruction.b < i, "instruction ", i, " uses a later value");
    REQUIRE(operands < 3 || instruction.c < i, "instruction ", i, " uses a later value");
    REQUIRE(instruction.op != ProgramOp::kResult || has_result,
            "kResult is for the epilogue of a linear layer");
    REQUIRE(instruction.op != ProgramOp::kLoad || instruction.a < extra, "instruction ", i, " loads input ",
            instruction.a, " of ", extra);
    REQUIRE(
        instruction.op != ProgramOp::kDropout || (instruction.immediate >= 0 && instruction.immediate < 1),
        "a dropout rate must be in [0, 1)");
  }
  for (size_t i = first_input; i < spec.inputs.size(); ++i) {
    const DType dtype = spec.inputs[i].dtype;
    REQUIRE(dtype == DType::kF32 || dtype == DType::kU8 || dtype == DType::kI32 || dtype == DType::kI64,
            "input ", i, " must be F32, U8, I32 or I64");
    REQUIRE(Broadcasts(In(spec, i), full), "input ", i, " does not broadcast to ", full.ToString());
  }
  Types outputs;
  for (uint16_t value : program.outputs) {
    REQUIRE(value < program.instructions.size(), "an output names a value that does not exist");
    outputs.push_back(F32(full));
  }
  return outputs;
}

Inferred InferMatMul(const OpSpec& spec) {
  const auto& attributes = std::get<MatMulAttributes>(spec.attributes);
  RETURN_IF_ERROR(CheckCount(spec, 2));
  RETURN_IF_ERROR(CheckF32(spec, {0, 1}));
  const Shape &a = In(spec, 0), &b = In(spec, 1);
  REQUIRE(a.rank() >= 2 && b.rank() >= 2, "both inputs need two dimensions or more");
  REQUIRE(b.rank() == 2 || b.rank() == a.rank(), "leading dimensions differ");
  for (int i = 0; b.rank() > 2 && i + 2 < a.rank(); ++i) REQUIRE(a[i] == b[i], "leading dimensions differ");
  const int64_t m = attributes.transpose_a ? a[-1] : a[-2], k = attributes.transpose_a ? a[-2] : a[-1];
  const int64_t n = attributes.transpose_b ? b[-2] : b[-1], kb = attributes.transpose_b ? b[-1] : b[-2];
  REQUIRE(k == kb, "inner dimensions differ: ", k, " and ", kb);
  Shape y = a;
  y.Set(-2, m);
  y.Set(-1, n);
  return Types{F32(y)};
}

Inferred InferLinear(const OpSpec& spec) {
  const auto& epilogue = std::get<LinearAttributes>(spec.attributes).epilogue;
  REQUIRE(spec.inputs.size() >= 2, "takes at least 2 inputs");
  RETURN_IF_ERROR(CheckF32(spec, {0, 1}));
  const Shape &x = In(spec, 0), &w = In(spec, 1);
  const bool forward = spec.kind == OpKind::kLinear;
  REQUIRE(x.rank() >= 1 && w.rank() == 2 && x[-1] == w[forward ? 1 : 0],
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
  REQUIRE(dy.rank() >= 1 && x.rank() >= 1 && Rows(dy) == Rows(x), "numbers of rows differ");
  Types outputs = {F32({dy[-1], x[-1]})};
  if (std::get<WeightGradAttributes>(spec.attributes).bias) outputs.push_back(F32({dy[-1]}));
  return outputs;
}

int64_t WindowOutput(int64_t size, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad) {
  const int64_t span = size + pad - dilation * (kernel - 1) - 1;
  return span < 0 ? 0 : span / stride + 1;
}

int64_t OutputHeight(const Window2d& w, int64_t height) {
  return WindowOutput(height, w.kernel_h, w.stride_h, w.dilation_h, w.pad_top + w.pad_bottom);
}

int64_t OutputWidth(const Window2d& w, int64_t width) {
  return WindowOutput(width, w.kernel_w, w.stride_w, w.dilation_w, w.pad_left + w.pad_right);
}

absl::Status CheckWindow(const OpSpec& spec, const Window2d& w) {
  REQUIRE(w.kernel_h > 0 && w.kernel_w > 0 && w.stride_h > 0 && w.stride_w > 0 && w.dilation_h > 0 &&
              w.dilation_w > 0,
          "kernel, stride and dilation must be positive");
  REQUIRE(w.pad_top >= 0 && w.pad_bottom >= 0 && w.pad_left >= 0 && w.pad_right >= 0,
          "padding must not be negative");
  return absl::OkStatus();
}

// Height and width of `x` give those of `y`, as the window says.
absl::Status CheckImagePair(const OpSpec& spec, const Window2d& w, int64_t height, int64_t width,
                            const Shape& y) {
  REQUIRE(y[1] == OutputHeight(w, height) && y[2] == OutputWidth(w, width), "the window over ", height, "x",
          width, " gives ", OutputHeight(w, height), "x", OutputWidth(w, width), ", not ", y[1], "x", y[2]);
  return absl::OkStatus();
}

Inferred InferConv2d(const OpSpec& spec) {
  const auto& attributes = std::get<Conv2dAttributes>(spec.attributes);
  const Window2d& window = attributes.window;
  RETURN_IF_ERROR(CheckWindow(spec, window));
  RETURN_IF_ERROR(CheckCount(spec, spec.kind == OpKind::kConv2d && attributes.bias ? 3 : 2));
  RETURN_IF_ERROR(CheckF32(spec, {0, 1}));
  const Shape &first = In(spec, 0), &second = In(spec, 1);
  REQUIRE(first.rank() == 4 && second.rank() == 4, "images and weights need four dimensions");
  const int64_t groups = attributes.groups;
  REQUIRE(groups > 0, "groups must be positive");
  if (spec.kind == OpKind::kConv2dWeightGrad) {
    const Shape &dy = first, &x = second;
    REQUIRE(dy[0] == x[0], "batch sizes differ");
    RETURN_IF_ERROR(CheckImagePair(spec, window, x[1], x[2], dy));
    REQUIRE(x[3] % groups == 0 && dy[3] % groups == 0, "channels are not divisible by ", groups, " groups");
    Types outputs = {F32({dy[3], x[3] / groups, window.kernel_h, window.kernel_w})};
    if (attributes.bias) outputs.push_back(F32({dy[3]}));
    return outputs;
  }
  const Shape& w = second;
  REQUIRE(w[2] == window.kernel_h && w[3] == window.kernel_w, "the weight's kernel is not the window's");
  REQUIRE(w[0] % groups == 0, "output channels are not divisible by ", groups, " groups");
  if (spec.kind == OpKind::kConv2dInputGrad) {
    REQUIRE(first[3] == w[0], "dy has ", first[3], " channels, the weight ", w[0]);
    RETURN_IF_ERROR(CheckImagePair(spec, window, attributes.input_height, attributes.input_width, first));
    return Types{F32({first[0], attributes.input_height, attributes.input_width, w[1] * groups})};
  }
  REQUIRE(first[3] == w[1] * groups, "x has ", first[3], " channels, the weight wants ", w[1] * groups);
  if (attributes.bias) RETURN_IF_ERROR(CheckVectors(spec, 2, 2, w[0]));
  const Shape y = {first[0], OutputHeight(window, first[1]), OutputWidth(window, first[2]), w[0]};
  REQUIRE(y[1] > 0 && y[2] > 0, "the kernel is larger than the padded image");
  return Types{F32(y)};
}

Inferred InferPool2d(const OpSpec& spec) {
  const auto& attributes = std::get<Pool2dAttributes>(spec.attributes);
  const Window2d& w = attributes.window;
  const bool grad = spec.kind == OpKind::kMaxPool2dGrad || spec.kind == OpKind::kAvgPool2dGrad;
  const bool max = spec.kind == OpKind::kMaxPool2d || spec.kind == OpKind::kMaxPool2dGrad;
  RETURN_IF_ERROR(CheckWindow(spec, w));
  REQUIRE(w.dilation_h == 1 && w.dilation_w == 1, "pooling knows no dilation");
  REQUIRE(std::max(w.pad_top, w.pad_bottom) < w.kernel_h && std::max(w.pad_left, w.pad_right) < w.kernel_w,
          "padding must be less than the kernel");
  REQUIRE(!max || w.kernel_h * w.kernel_w <= 255, "windows of at most 255 places");
  RETURN_IF_ERROR(CheckCount(spec, grad && max ? 2 : 1));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  const Shape& first = In(spec, 0);
  REQUIRE(first.rank() == 4, "images need four dimensions");
  if (grad) {
    RETURN_IF_ERROR(CheckImagePair(spec, w, attributes.input_height, attributes.input_width, first));
    if (max) REQUIRE((spec.inputs[1] == TensorType{DType::kU8, first}), "`at` must be U8 of dy's shape");
    return Types{F32({first[0], attributes.input_height, attributes.input_width, first[3]})};
  }
  const Shape y = {first[0], OutputHeight(w, first[1]), OutputWidth(w, first[2]), first[3]};
  REQUIRE(y[1] > 0 && y[2] > 0, "the kernel is larger than the padded image");
  if (max) return Types{F32(y), {DType::kU8, y}};
  return Types{F32(y)};
}

Inferred InferReduce(const OpSpec& spec) {
  const auto& attributes = std::get<ReduceAttributes>(spec.attributes);
  RETURN_IF_ERROR(CheckCount(spec, 1));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  REQUIRE(attributes.outer >= 0 && attributes.reduce >= 0 && attributes.inner >= 0,
          "sizes must not be negative");
  const int64_t small = attributes.outer * attributes.inner, large = small * attributes.reduce;
  const bool sum = spec.kind == OpKind::kReduceSum;
  REQUIRE(In(spec, 0).NumElements() == (sum ? large : small), "the input must have ", sum ? large : small,
          " elements");
  REQUIRE(attributes.output_shape.NumElements() == (sum ? small : large), "output_shape must have ",
          sum ? small : large, " elements, not ", attributes.output_shape.ToString());
  return Types{F32(attributes.output_shape)};
}

Inferred InferBatchNorm(const OpSpec& spec) {
  const auto& attributes = std::get<NormAttributes>(spec.attributes);
  const int residual = attributes.residual, relu = attributes.relu;
  const bool grad = spec.kind == OpKind::kBatchNormGrad, inference = spec.kind == OpKind::kBatchNormInference;
  const int vectors_at = grad ? 2 + relu : 1, vectors = grad ? 3 : inference ? 4 : 2;
  RETURN_IF_ERROR(CheckCount(spec, vectors_at + vectors + (grad ? 0 : residual)));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  const TensorType& x = spec.inputs[0];
  REQUIRE(x.shape.rank() >= 1, "x needs a channel dimension");
  for (int i = 1; i < vectors_at; ++i) REQUIRE(spec.inputs[i] == x, "input ", i, " must be ", x.ToString());
  const int64_t channels = x.shape[-1];
  RETURN_IF_ERROR(CheckVectors(spec, vectors_at, vectors_at + vectors - 1, channels));
  if (!grad && residual) REQUIRE(spec.inputs.back() == x, "the residual must be ", x.ToString());
  if (inference) return Types{x};
  const TensorType c = F32({channels});
  if (!grad) return Types{x, c, c, c};
  Types outputs = {x, c, c};
  if (residual) outputs.push_back(x);
  return outputs;
}

Inferred InferLayerNorm(const OpSpec& spec) {
  const auto& attributes = std::get<NormAttributes>(spec.attributes);
  const bool grad = spec.kind == OpKind::kLayerNormGrad;
  REQUIRE(!attributes.relu, "layer norm has no fused relu");
  REQUIRE(grad || !attributes.residual, "layer norm takes no residual");
  RETURN_IF_ERROR(CheckCount(spec, grad ? 5 + attributes.residual : 3));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  const TensorType& x = spec.inputs[0];
  REQUIRE(x.shape.rank() >= 1 && x.shape[-1] > 0, "x needs a last dimension");
  const int64_t channels = x.shape[-1];
  const TensorType rows = F32(WithoutLast(x.shape));
  if (!grad) {
    RETURN_IF_ERROR(CheckVectors(spec, 1, 2, channels));
    return Types{x, rows, rows};
  }
  REQUIRE(spec.inputs[1] == x, "x must have dy's type");
  RETURN_IF_ERROR(CheckVectors(spec, 2, 2, channels));
  REQUIRE(spec.inputs[3] == rows && spec.inputs[4] == rows, "mean and rstd must be ", rows.ToString());
  if (attributes.residual) REQUIRE(spec.inputs[5] == x, "skip must have x's type");
  return Types{x, F32({channels}), F32({channels})};
}

Inferred InferSoftmax(const OpSpec& spec) {
  const bool grad = spec.kind == OpKind::kSoftmaxGrad;
  RETURN_IF_ERROR(CheckCount(spec, grad ? 2 : 1));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  REQUIRE(In(spec, 0).rank() >= 1 && In(spec, 0)[-1] > 0, "x needs a last dimension");
  if (grad) REQUIRE(spec.inputs[0] == spec.inputs[1], "y and dy differ");
  return Types{spec.inputs[0]};
}

Inferred InferEmbedding(const OpSpec& spec) {
  RETURN_IF_ERROR(CheckCount(spec, 2));
  if (spec.kind == OpKind::kEmbedding) {
    REQUIRE(IsIds(spec.inputs[0]), "ids must be I32 or I64");
    RETURN_IF_ERROR(CheckF32(spec, {1}));
    REQUIRE(In(spec, 1).rank() == 2, "the table needs two dimensions");
    REQUIRE(In(spec, 0).rank() < Shape::kMaxRank, "too many dimensions");
    Shape y = In(spec, 0);
    y.Append(In(spec, 1)[1]);
    return Types{F32(y), InvalidCount()};
  }
  REQUIRE(IsIds(spec.inputs[1]), "ids must be I32 or I64");
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  const Shape& dy = In(spec, 0);
  REQUIRE(dy.rank() >= 1 && WithoutLast(dy) == In(spec, 1),
          "dy must have the shape of ids and one more dimension");
  const int64_t rows = std::get<EmbeddingGradAttributes>(spec.attributes).rows;
  REQUIRE(rows > 0, "the table needs rows");
  return Types{F32({rows, dy[-1]})};
}

Inferred InferAttention(const OpSpec& spec) {
  const auto& a = std::get<AttentionAttributes>(spec.attributes);
  const bool grad = spec.kind == OpKind::kAttentionGrad;
  const int first = grad ? 3 : 0;
  REQUIRE(a.heads > 0 && a.key_heads > 0 && a.head_size > 0 && a.heads % a.key_heads == 0,
          "heads must be a multiple of key_heads, and all sizes positive");
  RETURN_IF_ERROR(CheckCount(spec, first + (a.packed ? 1 : 3) + a.key_mask));
  RETURN_IF_ERROR(CheckF32(spec, {first}));
  const Shape& q = In(spec, first);
  REQUIRE(q.rank() == 3, "q needs three dimensions");
  const int64_t width = a.heads * a.head_size, key_width = a.key_heads * a.head_size;
  REQUIRE(q[2] == width + (a.packed ? 2 * key_width : 0), "the last dimension of q must be ",
          width + (a.packed ? 2 * key_width : 0));
  int64_t keys = q[1];
  if (!a.packed) {
    const TensorType& k = spec.inputs[first + 1];
    REQUIRE(k.dtype == DType::kF32 && k.shape.rank() == 3 && k.shape[0] == q[0] && k.shape[2] == key_width &&
                spec.inputs[first + 2] == k,
            "k and v must be F32[", q[0], ", S, ", key_width, "]");
    keys = k.shape[1];
  }
  if (a.key_mask) {
    const TensorType& mask = spec.inputs.back();
    REQUIRE((mask.dtype == DType::kF32 || mask.dtype == DType::kU8) && mask.shape == Shape({q[0], keys}),
            "the mask must be U8 or F32 of [", q[0], ", ", keys, "]");
  }
  const TensorType y = F32({q[0], q[1], width}), lse = F32({q[0], a.heads, q[1]});
  if (!grad) return Types{y, lse};
  REQUIRE(spec.inputs[0] == y && spec.inputs[1] == y && spec.inputs[2] == lse, "dy and y must be ",
          y.ToString(), ", lse ", lse.ToString());
  if (a.packed) return Types{spec.inputs[3]};
  return Types{spec.inputs[3], spec.inputs[4], spec.inputs[5]};
}

Inferred InferRotary(const OpSpec& spec) {
  const auto& a = std::get<RotaryAttributes>(spec.attributes);
  RETURN_IF_ERROR(CheckCount(spec, 1));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  const Shape& x = In(spec, 0);
  REQUIRE(x.rank() == 3 && a.head_size > 0 && x[2] % a.head_size == 0, "x must be [B, T, heads * head_size]");
  REQUIRE(a.rotary_size >= 0 && a.rotary_size <= a.head_size && a.rotary_size % 2 == 0 &&
              (a.rotary_size > 0 || a.head_size % 2 == 0),
          "rotary_size must be even and at most head_size");
  REQUIRE(a.rotated_heads >= 0 && a.rotated_heads * a.head_size <= x[2], "more rotated heads than heads");
  REQUIRE(a.base > 0, "base must be positive");
  return Types{spec.inputs[0]};
}

Inferred InferTranspose(const OpSpec& spec) {
  const auto& permutation = std::get<TransposeAttributes>(spec.attributes).permutation;
  RETURN_IF_ERROR(CheckCount(spec, 1));
  const Shape& x = In(spec, 0);
  REQUIRE(static_cast<int>(permutation.size()) == x.rank(), "the permutation needs ", x.rank(), " axes");
  unsigned seen = 0;
  Shape y;
  for (int axis : permutation) {
    REQUIRE(axis >= 0 && axis < x.rank() && !(seen >> axis & 1), "not a permutation");
    seen |= 1u << axis;
    y.Append(x[axis]);
  }
  return Types{{spec.inputs[0].dtype, y}};
}

Inferred InferConcat(const OpSpec& spec) {
  const int axis = std::get<AxisAttributes>(spec.attributes).axis;
  REQUIRE(!spec.inputs.empty(), "takes at least 1 input");
  TensorType y = spec.inputs[0];
  REQUIRE(axis >= 0 && axis < y.shape.rank(), "no axis ", axis);
  for (size_t i = 1; i < spec.inputs.size(); ++i) {
    TensorType x = spec.inputs[i];
    REQUIRE(x.shape.rank() == y.shape.rank(), "numbers of dimensions differ");
    const int64_t size = x.shape[axis];
    x.shape.Set(axis, y.shape[axis]);
    REQUIRE(x == y, "inputs differ in more than axis ", axis);
    y.shape.Set(axis, y.shape[axis] + size);
  }
  return Types{y};
}

Inferred InferSlice(const OpSpec& spec) {
  const auto& a = std::get<SliceAttributes>(spec.attributes);
  const bool grad = spec.kind == OpKind::kSliceGrad;
  RETURN_IF_ERROR(CheckCount(spec, 1));
  TensorType y = spec.inputs[0];
  REQUIRE(a.axis >= 0 && a.axis < y.shape.rank(), "no axis ", a.axis);
  if (grad) RETURN_IF_ERROR(CheckF32(spec, {0}));
  const int64_t length = grad ? a.input_size : y.shape[a.axis];
  REQUIRE(a.begin >= 0 && a.size >= 0 && a.size <= length && a.begin <= length - a.size, "indices ", a.begin,
          " to ", a.begin + a.size, " of an axis of ", length);
  if (grad) REQUIRE(y.shape[a.axis] == a.size, "dy's axis must be ", a.size, " long");
  y.shape.Set(a.axis, grad ? a.input_size : a.size);
  return Types{y};
}

// Losses and metrics over [R, C] with one weight a row.
Inferred InferLoss(const OpSpec& spec) {
  const bool regression =
      spec.kind == OpKind::kMeanSquaredError || spec.kind == OpKind::kMeanSquaredErrorGrad;
  const bool entropy_grad = spec.kind == OpKind::kCrossEntropyGrad;
  const bool grad = entropy_grad || spec.kind == OpKind::kMeanSquaredErrorGrad;
  RETURN_IF_ERROR(CheckCount(spec, entropy_grad ? 5 : grad ? 4 : 3));
  RETURN_IF_ERROR(CheckF32(spec, {0, 2}));
  const Shape& x = In(spec, 0);
  REQUIRE(x.rank() >= 1 && x[-1] > 0, "input 0 needs a last dimension");
  const int64_t rows = Rows(x);
  if (regression) {
    REQUIRE(spec.inputs[1] == spec.inputs[0], "prediction and target differ");
  } else {
    REQUIRE(IsIds(spec.inputs[1]) && In(spec, 1).NumElements() == rows, "labels must be ", rows,
            " of I32 or I64");
  }
  REQUIRE(In(spec, 2).NumElements() == rows, "weights must be ", rows);
  if (grad) {
    RETURN_IF_ERROR(CheckF32(spec, {static_cast<int>(spec.inputs.size()) - 1}));
    REQUIRE(spec.inputs.back().shape.NumElements() == 1, "dloss must be one number");
    if (entropy_grad)
      REQUIRE(spec.inputs[3] == F32(WithoutLast(x)), "lse must be F32", WithoutLast(x).ToString());
    return Types{spec.inputs[0]};
  }
  if (spec.kind == OpKind::kCrossEntropy) return Types{F64Scalar(), F32(WithoutLast(x)), InvalidCount()};
  return Types{F64Scalar()};
}

#undef REQUIRE

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

}  // namespace

absl::StatusOr<std::vector<TensorType>> InferOutputs(const OpSpec& spec) {
  // std::get throws on the wrong alternative; nothing here may throw over the border.
  try {
    return Infer(spec);
  } catch (const std::bad_variant_access&) {
    return Misfit(spec, "has the attributes of another operator");
  }
}

}  // namespace lockstep::kernels
