// The multilayer perceptron.
#ifndef LOCKSTEP_RUNTIME_NN_MODELS_MLP_H_
#define LOCKSTEP_RUNTIME_NN_MODELS_MLP_H_

#include <cstdint>
#include <vector>

#include "runtime/graph/builder.h"
#include "runtime/nn/layers.h"

namespace lockstep::nn {

struct MlpOptions {
  std::vector<int64_t> hidden;  // widths
  Activation activation = Activation::kRelu;
  float dropout = 0;  // after every hidden activation
  int64_t outputs = 0;
};

// x of any shape, F32, is flattened -> [outputs]. Parameters hidden.<i>.{weight,bias}, output.{weight,bias}.
graph::Tensor Mlp(graph::Builder& b, graph::Tensor x, const MlpOptions& options);

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_MODELS_MLP_H_
