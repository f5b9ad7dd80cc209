#include "runtime/nn/models/resnet.h"

#include "absl/strings/str_cat.h"
#include "runtime/nn/layers.h"

namespace lockstep::nn {
namespace {

using graph::Builder;
using graph::Tensor;

Tensor Conv(Builder& b, absl::string_view name, Tensor x, int64_t channels, int64_t kernel, int64_t stride) {
  ConvOptions options{.stride = stride, .bias = false};
  options.weight_init = FanOutNormal(channels * kernel * kernel);
  return Conv2d(b, name, x, channels, kernel, options);
}

Tensor BasicBlock(Builder& b, Tensor x, int64_t channels, int64_t stride) {
  Tensor y = b.Relu(BatchNorm(b, "bn1", Conv(b, "conv1", x, channels, 3, stride)));
  y = BatchNorm(b, "bn2", Conv(b, "conv2", y, channels, 3, 1));
  Tensor skip = x;
  if (b.ok() && (stride != 1 || b.shape(x)[-1] != channels)) {
    auto scope = b.Scope("downsample");
    skip = BatchNorm(b, "1", Conv(b, "0", x, channels, 1, stride));
  }
  return b.Relu(b.Add(y, skip));
}

}  // namespace

Tensor Resnet18(Builder& b, Tensor x, const ResnetOptions& options) {
  x = b.Relu(BatchNorm(b, "bn1", Conv(b, "conv1", x, options.width, 3, 1)));
  for (int stage = 0; stage < 4; ++stage) {
    for (int block = 0; block < 2; ++block) {
      auto scope = b.Scope(absl::StrCat("layer", stage + 1), block);
      x = BasicBlock(b, x, options.width << stage, stage > 0 && block == 0 ? 2 : 1);
    }
  }
  return Linear(b, "fc", b.GlobalAvgPool(x), options.classes);
}

}  // namespace lockstep::nn
