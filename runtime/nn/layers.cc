#include "runtime/nn/layers.h"

#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace lockstep::nn {
namespace {

constexpr double kMostElements = 1e12;  // of one tensor

using graph::Builder;
using graph::Initializer;
using graph::Tensor;

// The scope of a layer; none for the empty name.
class OptionalScope {
 public:
  OptionalScope(Builder& b, absl::string_view name) {
    if (!name.empty()) scope_.emplace(b.Scope(name));
  }

 private:
  std::optional<Builder::ScopeGuard> scope_;
};

Tensor Fail(Builder& b, absl::string_view message) {
  const absl::string_view scope = absl::StripSuffix(b.scope(), ".");
  b.Fail(
      ConfigError(absl::StrCat("model: ", scope.empty() ? "" : absl::StrCat("in '", scope, "': "), message)));
  return {};
}

// A parameter whose size comes from a configuration: refused where it could not fit any memory.
Tensor NewParameter(Builder& b, absl::string_view name, std::initializer_list<int64_t> dims,
                    const Initializer& init) {
  double elements = 1;
  for (const int64_t size : dims) elements *= static_cast<double>(size);
  if (elements > kMostElements) {
    const std::vector<int64_t> list(dims);
    return Fail(b, absl::StrCat("its ", name, " would be [", absl::StrJoin(list, ", "), "]: too large"));
  }
  return b.Parameter(name, Shape(dims), init);
}

std::string SizeText(int64_t height, int64_t width) { return absl::StrCat(height, "x", width); }

// Empty when a convolution of these numbers fits `image`, else what does not.
std::string ConvMistake(const Shape& image, int64_t channels, int64_t kernel, const ConvOptions& o,
                        int64_t padding) {
  if (image.rank() != 3) {
    return absl::StrCat("wants an image [height, width, channels]; its input is ", image.ToString());
  }
  if (channels < 1 || kernel < 1) return "channels and kernel must be at least 1";
  if (o.stride < 1 || o.dilation < 1 || o.groups < 1 || padding < 0) {
    return "stride, dilation and groups must be at least 1, padding at least 0";
  }
  if (image[2] % o.groups != 0 || channels % o.groups != 0) {
    return absl::StrCat("groups ", o.groups, " must divide the ", image[2], " channels of the input and the ",
                        channels, " of the output");
  }
  const int64_t span = (kernel - 1) * o.dilation + 1;
  if (span > image[0] + 2 * padding || span > image[1] + 2 * padding) {
    return absl::StrCat("kernel ", kernel, o.dilation > 1 ? absl::StrCat(" with dilation ", o.dilation) : "",
                        " is larger than the ", SizeText(image[0], image[1]), " input (padding ", padding,
                        ")");
  }
  const double out_height = static_cast<double>((image[0] + 2 * padding - span) / o.stride + 1);
  const double out_width = static_cast<double>((image[1] + 2 * padding - span) / o.stride + 1);
  if (out_height * out_width * static_cast<double>(channels) > kMostElements)
    return "its output would be too large";
  return "";
}

}  // namespace

Tensor Activate(Builder& b, Activation activation, Tensor x) {
  switch (activation) {
    case Activation::kRelu:
      return b.Relu(x);
    case Activation::kGelu:
      return b.Gelu(x, graph::GeluKind::kErf);
    case Activation::kGeluTanh:
      return b.Gelu(x, graph::GeluKind::kTanh);
    case Activation::kTanh:
      return b.Tanh(x);
    case Activation::kSigmoid:
      return b.Sigmoid(x);
    case Activation::kSilu:
      return b.Silu(x);
  }
  return {};
}

Initializer FanInUniform(int64_t fan_in) {
  return Initializer::Uniform(fan_in > 0 ? static_cast<float>(1 / std::sqrt(static_cast<double>(fan_in)))
                                         : 0.0f);
}

Initializer FanOutNormal(int64_t fan_out) {
  return Initializer::Normal(static_cast<float>(std::sqrt(2.0 / static_cast<double>(fan_out))));
}

Tensor Linear(Builder& b, absl::string_view name, Tensor x, int64_t features, const LinearOptions& options) {
  if (!b.ok()) return {};
  OptionalScope scope(b, name);
  const Shape shape = b.shape(x);
  if (shape.rank() < 1) return Fail(b, "a linear layer wants at least one dimension; its input is a scalar");
  if (features < 1) return Fail(b, absl::StrCat("features is ", features, "; it must be at least 1"));
  const Initializer otherwise = FanInUniform(shape[-1]);
  const Tensor weight =
      NewParameter(b, "weight", {features, shape[-1]}, options.weight_init.value_or(otherwise));
  Tensor bias;
  if (options.bias) bias = NewParameter(b, "bias", {features}, options.bias_init.value_or(otherwise));
  return b.Linear(x, weight, bias);
}

Tensor Conv2d(Builder& b, absl::string_view name, Tensor x, int64_t channels, int64_t kernel,
              const ConvOptions& options) {
  if (!b.ok()) return {};
  OptionalScope scope(b, name);
  const Shape image = b.shape(x);
  const int64_t padding = options.padding.value_or((kernel - 1) * options.dilation / 2);
  const std::string mistake = ConvMistake(image, channels, kernel, options, padding);
  if (!mistake.empty()) return Fail(b, mistake);
  const int64_t inputs = image[2] / options.groups;
  const auto shape = Shape::FromDims({channels, inputs, kernel, kernel});
  if (!shape.ok()) return Fail(b, std::string(shape.status().message()));
  const Initializer otherwise = FanInUniform(shape->Product(1, 4));
  const Tensor weight =
      NewParameter(b, "weight", {channels, inputs, kernel, kernel}, options.weight_init.value_or(otherwise));
  Tensor bias;
  if (options.bias) bias = NewParameter(b, "bias", {channels}, otherwise);
  graph::Conv2dOptions window = graph::Conv2dOptions::Square(options.stride, padding);
  window.dilation_h = window.dilation_w = options.dilation;
  window.groups = options.groups;
  return b.Conv2d(x, weight, bias, window);
}

Tensor BatchNorm(Builder& b, absl::string_view name, Tensor x, const graph::BatchNormOptions& options) {
  if (!b.ok()) return {};
  OptionalScope scope(b, name);
  if (b.shape(x).rank() < 1) return Fail(b, "a batch norm wants channels; its input is a scalar");
  const int64_t channels = b.shape(x)[-1];
  const Tensor gamma = NewParameter(b, "weight", {channels}, Initializer::Ones());
  const Tensor beta = NewParameter(b, "bias", {channels}, Initializer::Zeros());
  const Tensor mean = b.State("running_mean", {channels}, 0);
  const Tensor variance = b.State("running_var", {channels}, 1);
  return b.BatchNorm(x, gamma, beta, mean, variance, options);
}

Tensor LayerNorm(Builder& b, absl::string_view name, Tensor x, float epsilon) {
  if (!b.ok()) return {};
  OptionalScope scope(b, name);
  if (b.shape(x).rank() < 1)
    return Fail(b, "a layer norm wants at least one dimension; its input is a scalar");
  const int64_t width = b.shape(x)[-1];
  const Tensor gamma = NewParameter(b, "weight", {width}, Initializer::Ones());
  const Tensor beta = NewParameter(b, "bias", {width}, Initializer::Zeros());
  return b.LayerNorm(x, gamma, beta, epsilon);
}

Tensor Embedding(Builder& b, absl::string_view name, Tensor ids, int64_t rows, int64_t width, float stddev) {
  if (!b.ok()) return {};
  OptionalScope scope(b, name);
  if (b.dtype(ids) != DType::kI32 && b.dtype(ids) != DType::kI64) {
    return Fail(b, absl::StrCat("an embedding wants integer ids; its input is ", NameOf(b.dtype(ids)),
                                b.shape(ids).ToString()));
  }
  if (rows < 1 || width < 1)
    return Fail(b, absl::StrCat("rows ", rows, " and width ", width, " must be at least 1"));
  return b.Embedding(ids, NewParameter(b, "weight", {rows, width}, Initializer::Normal(stddev)));
}

Tensor LearnedPositions(Builder& b, absl::string_view name, Tensor x, int64_t rows, float stddev) {
  if (!b.ok()) return {};
  OptionalScope scope(b, name);
  const Shape shape = b.shape(x);
  if (shape.rank() != 2)
    return Fail(b, absl::StrCat("positions want [length, width]; the input is ", shape.ToString()));
  if (shape[0] > rows) {
    return Fail(b, absl::StrCat("the input is ", shape[0], " long, but there are positions for ", rows));
  }
  Tensor table = NewParameter(b, "weight", {rows, shape[1]}, Initializer::Normal(stddev));
  if (shape[0] < rows) table = b.Slice(table, 0, 0, shape[0]);
  return b.Add(x, table);
}

Tensor SelfAttention(Builder& b, absl::string_view name, Tensor x, const SelfAttentionOptions& options) {
  if (!b.ok()) return {};
  OptionalScope scope(b, name);
  const Shape shape = b.shape(x);
  if (shape.rank() != 2)
    return Fail(b, absl::StrCat("attention wants [length, width]; its input is ", shape.ToString()));
  const int64_t width = shape[1];
  if (options.heads < 1 || width % options.heads != 0) {
    return Fail(b, absl::StrCat("heads ", options.heads, " must divide the width ", width));
  }
  const int64_t head_size = width / options.heads;
  if (options.rotary && head_size % 2 != 0) {
    return Fail(b, absl::StrCat("rotary positions want an even head size; width ", width, " over ",
                                options.heads, " heads gives ", head_size));
  }
  LinearOptions qkv_options{.weight_init = options.qkv_init, .bias_init = options.bias_init};
  Tensor qkv = Linear(b, options.qkv_name, x, 3 * width, qkv_options);
  if (options.rotary) qkv = b.Rotary(qkv, {.head_size = head_size, .rotated_heads = 2 * options.heads});
  const Tensor y = b.AttentionPacked(qkv, {.heads = options.heads, .causal = options.causal});
  LinearOptions out_options{.weight_init = options.out_init, .bias_init = options.bias_init};
  return Linear(b, options.out_name, y, width, out_options);
}

}  // namespace lockstep::nn
