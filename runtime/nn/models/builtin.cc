#include "runtime/nn/models/builtin.h"

#include "absl/strings/str_cat.h"
#include "proto/run_config.pb.h"
#include "runtime/nn/models/gpt.h"
#include "runtime/nn/models/mlp.h"
#include "runtime/nn/models/resnet.h"

namespace lockstep::nn {
namespace {

using graph::Builder;
using graph::Tensor;

Activation ActivationOf(lockstep::Activation activation) {
  switch (activation) {
    case lockstep::RELU:
      return Activation::kRelu;
    case lockstep::GELU:
      return Activation::kGelu;
    case lockstep::GELU_TANH:
      return Activation::kGeluTanh;
    case lockstep::TANH:
      return Activation::kTanh;
    case lockstep::SIGMOID:
      return Activation::kSigmoid;
    case lockstep::SILU:
      return Activation::kSilu;
  }
  return Activation::kRelu;
}

// How many numbers the network must give: what the configuration says, else what the label needs. 0: unknown
// (an error, recorded).
int64_t OutputsOf(Builder& b, absl::string_view field, int64_t configured, const DataSpec& data) {
  if (configured > 0) return configured;
  if (data.classes > 0) return data.classes;
  const Shape& label = data.label.type.shape;
  if (data.label.type.dtype == DType::kF32 && label.rank() <= 1) return label.NumElements();
  b.Fail(ConfigError(absl::StrCat(field, " is needed: the label ", data.label.type.ToString(),
                                  " does not say how many outputs there are")));
  return 0;
}

Tensor BuildMlp(Builder& b, Tensor x, const NetworkRequest& request) {
  const MlpConfig& config = request.config.mlp();
  MlpOptions options;
  options.hidden.assign(config.hidden().begin(), config.hidden().end());
  options.activation = ActivationOf(config.activation());
  options.dropout = config.dropout();
  options.outputs = OutputsOf(b, "model.mlp.outputs", config.outputs(), request.data);
  return Mlp(b, x, options);
}

Tensor BuildResnet18(Builder& b, Tensor x, const NetworkRequest& request) {
  const ResnetConfig& config = request.config.resnet();
  const int64_t classes = OutputsOf(b, "model.resnet.classes", config.classes(), request.data);
  if (b.ok() && b.shape(x).rank() != 3) {
    b.Fail(ConfigError(
        absl::StrCat("model.name: resnet18 wants images [height, width, channels]; the data gives ",
                     b.shape(x).ToString())));
  }
  return Resnet18(b, x, {.classes = classes, .width = config.width()});
}

Tensor BuildGpt(Builder& b, Tensor ids, const NetworkRequest& request) {
  const GptConfig& config = request.config.gpt();
  if (request.data.vocabulary > config.vocabulary()) {
    b.Fail(ConfigError(absl::StrCat("model.gpt.vocabulary is ", config.vocabulary(), ", but the data has ",
                                    request.data.vocabulary, " different tokens")));
  }
  return Gpt(b, ids,
             {.layers = config.layers(),
              .width = config.width(),
              .heads = config.heads(),
              .vocabulary = config.vocabulary(),
              .context = config.context(),
              .dropout = config.dropout(),
              .rotary = config.positions() == lockstep::ROTARY,
              .tied = config.tied()});
}

}  // namespace

ModelRegistry BuiltinModels() {
  ModelRegistry registry;
  // The names are fixed and different, so adding them cannot fail.
  (void)registry.AddNetwork("mlp", BuildMlp);
  (void)registry.AddNetwork("resnet18", BuildResnet18);
  (void)registry.AddNetwork("gpt", BuildGpt);
  return registry;
}

}  // namespace lockstep::nn
