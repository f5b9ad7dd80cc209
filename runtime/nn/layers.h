// Layers: an operator of the builder with its parameters, named and initialised.
//
// `name` is the scope of the parameters, "fc" gives "fc.weight" and "fc.bias"; "" puts them in the scope that
// is open. Initial values are functions of (seed, full parameter name) alone (graph::Initialize), so a
// parameter begins with the same values in every model, lane and world that has it. Weights of linear layers
// are [out, in], of convolutions [out, in / groups, kh, kw]. Mistakes go to Builder::Fail; the result is then
// an invalid tensor.
#ifndef LOCKSTEP_RUNTIME_NN_LAYERS_H_
#define LOCKSTEP_RUNTIME_NN_LAYERS_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "runtime/graph/builder.h"

namespace lockstep::nn {

enum class Activation : uint8_t { kRelu, kGelu, kGeluTanh, kTanh, kSigmoid, kSilu };

graph::Tensor Activate(graph::Builder& b, Activation activation, graph::Tensor x);

// U(-1/sqrt(fan_in), 1/sqrt(fan_in)), what torch.nn.Linear and Conv2d draw weights and biases from
// (Kaiming-uniform with a = sqrt(5)).
graph::Initializer FanInUniform(int64_t fan_in);

// Kaiming-normal over the outputs, N(0, 2 / (channels kernel^2)) (He et al., arXiv:1502.01852), as
// torchvision's ResNet.
graph::Initializer FanOutNormal(int64_t fan_out);

struct LinearOptions {
  bool bias = true;
  std::optional<graph::Initializer> weight_init = {}, bias_init = {};  // default: FanInUniform
};
// [.., C] -> [.., features]. Parameters weight [features, C], bias [features].
graph::Tensor Linear(graph::Builder& b, absl::string_view name, graph::Tensor x, int64_t features,
                     const LinearOptions& options = {});

struct ConvOptions {
  int64_t stride = 1;
  std::optional<int64_t> padding =
      {};  // default: (kernel - 1) * dilation / 2, which keeps height and width at stride 1
  int64_t dilation = 1, groups = 1;
  bool bias = true;
  std::optional<graph::Initializer> weight_init = {};  // default: FanInUniform, also of the bias
};
// [H, W, C] -> [H', W', channels]. Parameters weight [channels, C / groups, kernel, kernel], bias [channels].
graph::Tensor Conv2d(graph::Builder& b, absl::string_view name, graph::Tensor x, int64_t channels,
                     int64_t kernel, const ConvOptions& options = {});

// Over all but the last dimension. Parameters weight (ones), bias (zeros); states running_mean (0),
// running_var (1).
graph::Tensor BatchNorm(graph::Builder& b, absl::string_view name, graph::Tensor x,
                        const graph::BatchNormOptions& options = {});

// Over the last dimension. Parameters weight (ones), bias (zeros).
graph::Tensor LayerNorm(graph::Builder& b, absl::string_view name, graph::Tensor x, float epsilon = 1e-5f);

// ids [..] -> [.., width]. Parameter weight [rows, width] from N(0, stddev^2).
graph::Tensor Embedding(graph::Builder& b, absl::string_view name, graph::Tensor ids, int64_t rows,
                        int64_t width, float stddev = 1);

// [T, C] -> x + the first T rows of the parameter weight [rows, C] from N(0, stddev^2); T <= rows.
graph::Tensor LearnedPositions(graph::Builder& b, absl::string_view name, graph::Tensor x, int64_t rows,
                               float stddev);

struct SelfAttentionOptions {
  int64_t heads = 1;
  bool causal = true;
  bool rotary = false;                                   // turns q and k (half rotation, base 10000)
  absl::string_view qkv_name = "qkv", out_name = "out";  // of the two linear layers
  std::optional<graph::Initializer> qkv_init = {}, out_init = {}, bias_init = {};  // default: FanInUniform
};
// [T, C] -> [T, C]: one linear layer to q | k | v, scaled dot-product attention, one linear layer.
graph::Tensor SelfAttention(graph::Builder& b, absl::string_view name, graph::Tensor x,
                            const SelfAttentionOptions& options);

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_LAYERS_H_
