// ResNet-18 (He et al., arXiv:1512.03385) with the stem for small images: one 3x3 convolution, no pooling.
#ifndef LOCKSTEP_RUNTIME_NN_MODELS_RESNET_H_
#define LOCKSTEP_RUNTIME_NN_MODELS_RESNET_H_

#include <cstdint>

#include "runtime/graph/builder.h"

namespace lockstep::nn {

struct ResnetOptions {
  int64_t classes = 0;
  int64_t width = 64;  // channels of the first stage; doubled by each of the three others
};

// x [H, W, C] -> [classes]. Names as in torchvision: conv1.weight,
// bn1.{weight,bias,running_mean,running_var}, layer<1..4>.<0,1>.{conv1,bn1,conv2,bn2},
// layer<2..4>.0.downsample.{0,1}, fc.{weight,bias}. Convolutions begin Kaiming-normal over their outputs.
graph::Tensor Resnet18(graph::Builder& b, graph::Tensor x, const ResnetOptions& options);

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_MODELS_RESNET_H_
