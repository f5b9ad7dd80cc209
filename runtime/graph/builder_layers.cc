// Builder: matrix products, convolutions, pooling, norms.
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/graph/builder.h"

namespace lockstep::graph {

using kernels::OpKind;

Tensor Builder::Linear(Tensor x, Tensor weight, Tensor bias) {
  if (!Usable("linear", {x, weight})) return {};
  const Shape in = shape(x), w = shape(weight);
  if (w.rank() != 2 || in.rank() < 1 || in[-1] != w[1] || batched(weight)) {
    return FailOp("linear", "needs x [.., in] and a parameter weight [out, in]", {x, weight});
  }
  Tensor y = Op("linear", OpKind::kLinear, kernels::LinearAttributes{}, {x, weight}, batched(x));
  if (!bias.valid()) return y;
  if (!Usable("linear", {bias})) return {};
  if (shape(bias) != Shape{w[0]}) return FailOp("linear", "needs a bias [out]", {x, weight, bias});
  return Add(y, bias);
}

Tensor Builder::MatMul(Tensor a, Tensor b, bool transpose_a, bool transpose_b) {
  if (!Usable("matmul", {a, b})) return {};
  const bool matrices = !batched(b) && shape(b).rank() == 2;  // b is one matrix for all of a
  if (shape(b).rank() < 2 || (shape(a).rank() < 2 && (!matrices || transpose_a || !batched(a)))) {
    return FailOp("matmul", "needs a [.., M, K] and b [.., K, N]", {a, b});
  }
  if (!matrices && batched(a) != batched(b)) {
    return FailOp("matmul",
                  "one side depends on the sample and the other does not; only b may be a single [K, N]",
                  {a, b});
  }
  if (transpose_a && matrices && graph_.type(a.id).shape.rank() > 2) {
    std::vector<int> swap(shape(a).rank());
    for (size_t i = 0; i < swap.size(); ++i) swap[i] = static_cast<int>(i);
    std::swap(swap[swap.size() - 1], swap[swap.size() - 2]);
    a = Transpose(a, swap);
    transpose_a = false;
  }
  kernels::MatMulAttributes attributes;
  attributes.transpose_a = transpose_a;
  attributes.transpose_b = transpose_b;
  return Op("matmul", OpKind::kMatMul, attributes, {a, b}, batched(a));
}

Tensor Builder::Conv2d(Tensor x, Tensor weight, Tensor bias, const Conv2dOptions& options) {
  if (!Usable("conv2d", {x, weight})) return {};
  const Shape image = shape(x), w = shape(weight);
  if (image.rank() != 3 || !batched(x) || w.rank() != 4) {
    return FailOp("conv2d", "needs x [H, W, C] and weight [O, C / groups, KH, KW]", {x, weight});
  }
  kernels::Conv2dAttributes attributes;
  attributes.window = {.kernel_h = w[2],
                       .kernel_w = w[3],
                       .stride_h = options.stride_h,
                       .stride_w = options.stride_w,
                       .dilation_h = options.dilation_h,
                       .dilation_w = options.dilation_w,
                       .pad_top = options.pad_h,
                       .pad_bottom = options.pad_h,
                       .pad_left = options.pad_w,
                       .pad_right = options.pad_w};
  attributes.groups = options.groups;
  attributes.bias = bias.valid();
  std::vector<Tensor> inputs = {x, weight};
  if (bias.valid()) inputs.push_back(bias);
  return Op("conv2d", OpKind::kConv2d, attributes, inputs, true);
}

Tensor Builder::Pool(absl::string_view op, OpKind kind, Tensor x, const Pool2dOptions& options) {
  if (!Usable(op, {x})) return {};
  if (shape(x).rank() != 3 || !batched(x)) return FailOp(op, "needs x [H, W, C]", {x});
  kernels::Pool2dAttributes attributes;
  attributes.window = {.kernel_h = options.kernel_h,
                       .kernel_w = options.kernel_w,
                       .stride_h = options.stride_h,
                       .stride_w = options.stride_w,
                       .pad_top = options.pad_h,
                       .pad_bottom = options.pad_h,
                       .pad_left = options.pad_w,
                       .pad_right = options.pad_w};
  attributes.count_padding = options.count_padding;
  return Op(op, kind, attributes, {x}, true);
}

Tensor Builder::MaxPool2d(Tensor x, const Pool2dOptions& options) {
  return Pool("max_pool2d", OpKind::kMaxPool2d, x, options);
}

Tensor Builder::AvgPool2d(Tensor x, const Pool2dOptions& options) {
  return Pool("avg_pool2d", OpKind::kAvgPool2d, x, options);
}

Tensor Builder::GlobalAvgPool(Tensor x) {
  if (!Usable("global_avg_pool", {x})) return {};
  const Shape image = shape(x);
  if (image.rank() != 3 || !batched(x) || image[0] * image[1] == 0) {
    return FailOp("global_avg_pool", "needs x [H, W, C]", {x});
  }
  kernels::ReduceAttributes mean;
  mean.outer = graph_.micro_batch;
  mean.reduce = image[0] * image[1];
  mean.inner = image[2];
  mean.scale = 1.0f / static_cast<float>(mean.reduce);
  mean.output_shape = {graph_.micro_batch, image[2]};
  return Op("global_avg_pool", OpKind::kReduceSum, mean, {x}, true);
}

// delta = momentum * (statistic of this micro-batch - running).
void Builder::UpdateRunning(Tensor state, ValueId statistic, float momentum) {
  const Tensor difference = Sub({statistic}, state);
  const Tensor delta = Scale(difference, momentum);
  if (ok()) graph_.updates.push_back({graph_.values[state.id].index, delta.id});
}

Tensor Builder::BatchNorm(Tensor x, Tensor gamma, Tensor beta, Tensor running_mean, Tensor running_variance,
                          const BatchNormOptions& options) {
  if (!Usable("batch_norm", {x, gamma, beta, running_mean, running_variance})) return {};
  const Shape in = shape(x);
  if (!batched(x) || in.rank() < 1)
    return FailOp("batch_norm", "needs x [.., C] that depends on the sample", {x});
  const Shape channels{in[-1]};
  for (Tensor t : {gamma, beta, running_mean, running_variance}) {
    if (shape(t) != channels || batched(t)) {
      return FailOp("batch_norm", "needs gamma, beta and the running statistics of shape [C]",
                    {x, gamma, beta, running_mean, running_variance});
    }
  }
  for (Tensor t : {running_mean, running_variance}) {
    if (graph_.values[t.id].source != Source::kState) {
      return FailOp("batch_norm", "the running statistics must be made by State", {t});
    }
  }
  kernels::NormAttributes attributes;
  attributes.epsilon = options.epsilon;
  std::vector<ValueId> outputs;
  const Tensor y = Op("batch_norm", OpKind::kBatchNorm, attributes, {x, gamma, beta}, true, &outputs);
  if (!y.valid()) return {};
  for (size_t i = 1; i < outputs.size(); ++i) batched_[outputs[i]] = false;
  graph_.norms.push_back({y.id, running_mean.id, running_variance.id});
  UpdateRunning(running_mean, outputs[1], options.momentum);
  UpdateRunning(running_variance, outputs[3], options.momentum);
  return y;
}

Tensor Builder::LayerNorm(Tensor x, Tensor gamma, Tensor beta, float epsilon) {
  if (!Usable("layer_norm", {x, gamma, beta})) return {};
  const Shape in = shape(x);
  if (in.rank() < 1 || shape(gamma) != Shape{in[-1]} || shape(beta) != Shape{in[-1]}) {
    return FailOp("layer_norm", "needs x [.., C], gamma [C] and beta [C]", {x, gamma, beta});
  }
  kernels::NormAttributes attributes;
  attributes.epsilon = epsilon;
  return Op("layer_norm", OpKind::kLayerNorm, attributes, {x, gamma, beta}, batched(x));
}

}  // namespace lockstep::graph
