// The types of what operators on images give.
#include <algorithm>

#include "kernels/infer_checks.h"

namespace lockstep::kernels::infer {
namespace {

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
  LOCKSTEP_REQUIRE(w.kernel_h > 0 && w.kernel_w > 0 && w.stride_h > 0 && w.stride_w > 0 && w.dilation_h > 0 &&
                       w.dilation_w > 0,
                   "kernel, stride and dilation must be positive");
  LOCKSTEP_REQUIRE(w.pad_top >= 0 && w.pad_bottom >= 0 && w.pad_left >= 0 && w.pad_right >= 0,
                   "padding must not be negative");
  return absl::OkStatus();
}

// Height and width of `x` give those of `y`, as the window says.
absl::Status CheckImagePair(const OpSpec& spec, const Window2d& w, int64_t height, int64_t width,
                            const Shape& y) {
  LOCKSTEP_REQUIRE(y[1] == OutputHeight(w, height) && y[2] == OutputWidth(w, width), "the window over ",
                   height, "x", width, " gives ", OutputHeight(w, height), "x", OutputWidth(w, width),
                   ", not ", y[1], "x", y[2]);
  return absl::OkStatus();
}

}  // namespace

Inferred InferConv2d(const OpSpec& spec) {
  const auto& attributes = std::get<Conv2dAttributes>(spec.attributes);
  const Window2d& window = attributes.window;
  RETURN_IF_ERROR(CheckWindow(spec, window));
  RETURN_IF_ERROR(CheckCount(spec, spec.kind == OpKind::kConv2d && attributes.bias ? 3 : 2));
  RETURN_IF_ERROR(CheckF32(spec, {0, 1}));
  const Shape &first = In(spec, 0), &second = In(spec, 1);
  LOCKSTEP_REQUIRE(first.rank() == 4 && second.rank() == 4, "images and weights need four dimensions");
  const int64_t groups = attributes.groups;
  LOCKSTEP_REQUIRE(groups > 0, "groups must be positive");
  if (spec.kind == OpKind::kConv2dWeightGrad) {
    const Shape &dy = first, &x = second;
    LOCKSTEP_REQUIRE(dy[0] == x[0], "batch sizes differ");
    RETURN_IF_ERROR(CheckImagePair(spec, window, x[1], x[2], dy));
    LOCKSTEP_REQUIRE(x[3] % groups == 0 && dy[3] % groups == 0, "channels are not divisible by ", groups,
                     " groups");
    Types outputs = {F32({dy[3], x[3] / groups, window.kernel_h, window.kernel_w})};
    if (attributes.bias) outputs.push_back(F32({dy[3]}));
    return outputs;
  }
  const Shape& w = second;
  LOCKSTEP_REQUIRE(w[2] == window.kernel_h && w[3] == window.kernel_w,
                   "the weight's kernel is not the window's");
  LOCKSTEP_REQUIRE(w[0] % groups == 0, "output channels are not divisible by ", groups, " groups");
  if (spec.kind == OpKind::kConv2dInputGrad) {
    LOCKSTEP_REQUIRE(first[3] == w[0], "dy has ", first[3], " channels, the weight ", w[0]);
    RETURN_IF_ERROR(CheckImagePair(spec, window, attributes.input_height, attributes.input_width, first));
    return Types{F32({first[0], attributes.input_height, attributes.input_width, w[1] * groups})};
  }
  LOCKSTEP_REQUIRE(first[3] == w[1] * groups, "x has ", first[3], " channels, the weight wants ",
                   w[1] * groups);
  if (attributes.bias) RETURN_IF_ERROR(CheckVectors(spec, 2, 2, w[0]));
  const Shape y = {first[0], OutputHeight(window, first[1]), OutputWidth(window, first[2]), w[0]};
  LOCKSTEP_REQUIRE(y[1] > 0 && y[2] > 0, "the kernel is larger than the padded image");
  return Types{F32(y)};
}

Inferred InferPool2d(const OpSpec& spec) {
  const auto& attributes = std::get<Pool2dAttributes>(spec.attributes);
  const Window2d& w = attributes.window;
  const bool grad = spec.kind == OpKind::kMaxPool2dGrad || spec.kind == OpKind::kAvgPool2dGrad;
  const bool max = spec.kind == OpKind::kMaxPool2d || spec.kind == OpKind::kMaxPool2dGrad;
  RETURN_IF_ERROR(CheckWindow(spec, w));
  LOCKSTEP_REQUIRE(w.dilation_h == 1 && w.dilation_w == 1, "pooling knows no dilation");
  LOCKSTEP_REQUIRE(
      std::max(w.pad_top, w.pad_bottom) < w.kernel_h && std::max(w.pad_left, w.pad_right) < w.kernel_w,
      "padding must be less than the kernel");
  LOCKSTEP_REQUIRE(!max || w.kernel_h * w.kernel_w <= 255, "windows of at most 255 places");
  RETURN_IF_ERROR(CheckCount(spec, grad && max ? 2 : 1));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  const Shape& first = In(spec, 0);
  LOCKSTEP_REQUIRE(first.rank() == 4, "images need four dimensions");
  if (grad) {
    RETURN_IF_ERROR(CheckImagePair(spec, w, attributes.input_height, attributes.input_width, first));
    if (max)
      LOCKSTEP_REQUIRE((spec.inputs[1] == TensorType{DType::kU8, first}), "`at` must be U8 of dy's shape");
    return Types{F32({first[0], attributes.input_height, attributes.input_width, first[3]})};
  }
  const Shape y = {first[0], OutputHeight(w, first[1]), OutputWidth(w, first[2]), first[3]};
  LOCKSTEP_REQUIRE(y[1] > 0 && y[2] > 0, "the kernel is larger than the padded image");
  if (max) return Types{F32(y), {DType::kU8, y}};
  return Types{F32(y)};
}

Inferred InferBatchNorm(const OpSpec& spec) {
  const auto& attributes = std::get<NormAttributes>(spec.attributes);
  const int residual = attributes.residual, relu = attributes.relu;
  const bool grad = spec.kind == OpKind::kBatchNormGrad, inference = spec.kind == OpKind::kBatchNormInference;
  const int vectors_at = grad ? 2 + relu : 1, vectors = grad ? 3 : inference ? 4 : 2;
  RETURN_IF_ERROR(CheckCount(spec, vectors_at + vectors + (grad ? 0 : residual)));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  const TensorType& x = spec.inputs[0];
  LOCKSTEP_REQUIRE(x.shape.rank() >= 1, "x needs a channel dimension");
  for (int i = 1; i < vectors_at; ++i)
    LOCKSTEP_REQUIRE(spec.inputs[i] == x, "input ", i, " must be ", x.ToString());
  const int64_t channels = x.shape[-1];
  RETURN_IF_ERROR(CheckVectors(spec, vectors_at, vectors_at + vectors - 1, channels));
  if (!grad && residual) LOCKSTEP_REQUIRE(spec.inputs.back() == x, "the residual must be ", x.ToString());
  if (inference) return Types{x};
  const TensorType c = F32({channels});
  if (!grad) return Types{x, c, c, c};
  Types outputs = {x, c, c};
  if (residual) outputs.push_back(x);
  return outputs;
}

}  // namespace lockstep::kernels::infer
