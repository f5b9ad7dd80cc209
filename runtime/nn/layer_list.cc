#include "runtime/nn/layer_list.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "proto/run_config.pb.h"
#include "runtime/nn/layers.h"

namespace lockstep::nn {
namespace {

using graph::Builder;
using graph::Tensor;

constexpr float kPositionsStddev = 0.02f;
constexpr int kDeepestNesting = 100;  // residuals and repeats inside one another: this recurses
constexpr int kMostLayers = 10000;    // repeats multiplied out

// The name of the layer's kind as the configuration spells it, "conv2d"; "" where none is set.
std::string KindOf(const Layer& layer) {
  if (layer.kind_case() == Layer::KIND_NOT_SET) return "";
  return Layer::descriptor()->FindFieldByNumber(layer.kind_case())->name();
}

// Applies lists of layers to one builder. Every error passes Locate, which puts the layer's place before it.
class LayerWriter {
 public:
  LayerWriter(Builder& b, const DataSpec& data) : b_(b), data_(data) {}

  Tensor ApplyList(Tensor x, const LayerList& list, const std::string& path, int depth);
  const absl::Status& error() const { return error_; }

 private:
  Tensor ApplyOne(Tensor x, const Layer& layer, const std::string& path, int depth);
  Tensor ApplyConv(Tensor x, const Conv2dLayer& conv);
  Tensor ApplyPool(Tensor x, const PoolLayer& pool, bool maximum);
  Tensor ApplyEmbedding(Tensor x, const EmbeddingLayer& embedding);
  Tensor ApplyPositions(Tensor x);
  Tensor ApplyReshape(Tensor x, const ReshapeLayer& reshape);
  Tensor ApplyResidual(Tensor x, const ResidualLayer& residual, const std::string& path, int depth);
  Tensor ApplyRepeat(Tensor x, const RepeatLayer& repeat, const std::string& path, int depth);

  Tensor Fail(absl::string_view message) {
    b_.Fail(ConfigError(message));
    return {};
  }
  // Remembers the builder's error as one of the layer at `path`.
  void Locate(const std::string& path);

  Builder& b_;
  const DataSpec& data_;
  int layers_ = 0;  // applied so far
  absl::Status error_;
};

void LayerWriter::Locate(const std::string& path) {
  if (b_.ok() || !error_.ok()) return;
  const std::string scope(absl::StripSuffix(b_.scope(), "."));  // names the layer a second time: left out
  std::string message = absl::StrReplaceAll(
      b_.error().message(),
      {{absl::StrCat("model: in '", scope, "': "), ""}, {absl::StrCat(" in '", scope, "'"), ""}});
  error_ = ConfigError(absl::StrCat(path, ": ", absl::StripPrefix(message, "model: ")));
}

Tensor LayerWriter::ApplyList(Tensor x, const LayerList& list, const std::string& path, int depth) {
  if (depth > kDeepestNesting)
    return Fail(absl::StrCat("layers are nested more than ", kDeepestNesting, " deep"));
  if (list.layer_size() == 0) {
    Fail("there are no layers in it");
    Locate(path);
    return {};
  }
  for (int i = 0; i < list.layer_size() && b_.ok(); ++i) {
    const std::string kind = KindOf(list.layer(i));
    const std::string layer_path = absl::StrCat(path, ".layer[", i, "]", kind.empty() ? "" : ".", kind);
    auto scope = b_.Scope(absl::StrCat(i, ".", kind));
    x = ApplyOne(x, list.layer(i), layer_path, depth);
    Locate(layer_path);
  }
  return x;
}

Tensor LayerWriter::ApplyOne(Tensor x, const Layer& layer, const std::string& path, int depth) {
  if (++layers_ > kMostLayers) return Fail(absl::StrCat("these are more than ", kMostLayers, " layers"));
  switch (layer.kind_case()) {
    case Layer::kConv2D:
      return ApplyConv(x, layer.conv2d());
    case Layer::kLinear:
      return Linear(b_, "", x, layer.linear().features(), {.bias = layer.linear().bias()});
    case Layer::kRelu:
      return b_.Relu(x);
    case Layer::kGelu:
      return Activate(b_, layer.gelu().tanh() ? Activation::kGeluTanh : Activation::kGelu, x);
    case Layer::kTanh:
      return b_.Tanh(x);
    case Layer::kSigmoid:
      return b_.Sigmoid(x);
    case Layer::kSilu:
      return b_.Silu(x);
    case Layer::kMaxPool:
      return ApplyPool(x, layer.max_pool(), true);
    case Layer::kAvgPool:
      return ApplyPool(x, layer.avg_pool(), false);
    case Layer::kGlobalAvgPool:
      return b_.GlobalAvgPool(x);
    case Layer::kBatchNorm:
      return BatchNorm(b_, "", x,
                       {.epsilon = layer.batch_norm().epsilon(), .momentum = layer.batch_norm().momentum()});
    case Layer::kLayerNorm:
      return LayerNorm(b_, "", x, layer.layer_norm().epsilon());
    case Layer::kDropout:
      return layer.dropout().rate() > 0 ? b_.Dropout(x, layer.dropout().rate()) : x;
    case Layer::kFlatten:
      return b_.Flatten(x);
    case Layer::kEmbedding:
      return ApplyEmbedding(x, layer.embedding());
    case Layer::kPositions:
      return ApplyPositions(x);
    case Layer::kAttention:
      return SelfAttention(b_, "", x,
                           {.heads = layer.attention().heads(),
                            .causal = layer.attention().causal(),
                            .rotary = layer.attention().rotary()});
    case Layer::kReshape:
      return ApplyReshape(x, layer.reshape());
    case Layer::kResidual:
      return ApplyResidual(x, layer.residual(), path, depth);
    case Layer::kRepeat:
      return ApplyRepeat(x, layer.repeat(), path, depth);
    case Layer::kSoftmax:
      return b_.Softmax(x);
    case Layer::KIND_NOT_SET:
      return Fail("says no kind of layer");
  }
  return Fail("is a kind of layer that this version does not know");
}

Tensor LayerWriter::ApplyConv(Tensor x, const Conv2dLayer& conv) {
  ConvOptions options{
      .stride = conv.stride(), .dilation = conv.dilation(), .groups = conv.groups(), .bias = conv.bias()};
  if (conv.has_padding()) options.padding = conv.padding();
  return Conv2d(b_, "", x, conv.channels(), conv.kernel(), options);
}

Tensor LayerWriter::ApplyPool(Tensor x, const PoolLayer& pool, bool maximum) {
  const Shape image = b_.shape(x);
  if (image.rank() != 3) {
    return Fail(absl::StrCat("wants an image [height, width, channels]; its input is ", image.ToString()));
  }
  const int64_t size = pool.size(), padding = pool.padding(),
                stride = pool.has_stride() ? pool.stride() : size;
  if (size < 1 || stride < 1 || padding < 0 || padding >= size) {
    return Fail(absl::StrCat("size ", size, " and stride ", stride, " must be at least 1, padding ", padding,
                             " at least 0 and less than size"));
  }
  if (size > image[0] + 2 * padding || size > image[1] + 2 * padding) {
    return Fail(absl::StrCat("size ", size, " is larger than the ", image[0], "x", image[1],
                             " input (padding ", padding, ")"));
  }
  const graph::Pool2dOptions options = graph::Pool2dOptions::Square(size, stride, padding);
  return maximum ? b_.MaxPool2d(x, options) : b_.AvgPool2d(x, options);
}

Tensor LayerWriter::ApplyEmbedding(Tensor x, const EmbeddingLayer& embedding) {
  if (data_.vocabulary > embedding.rows()) {
    return Fail(
        absl::StrCat("rows ", embedding.rows(), " is less than the ", data_.vocabulary, " ids of the data"));
  }
  return Embedding(b_, "", x, embedding.rows(), embedding.width());
}

Tensor LayerWriter::ApplyPositions(Tensor x) {
  const Shape shape = b_.shape(x);
  return LearnedPositions(b_, "", x, shape.rank() > 0 ? shape[0] : 0, kPositionsStddev);
}

Tensor LayerWriter::ApplyReshape(Tensor x, const ReshapeLayer& reshape) {
  Shape shape;
  if (reshape.shape_size() >= Shape::kMaxRank) {
    return Fail(absl::StrCat("a shape has at most ", Shape::kMaxRank - 1, " dimensions besides the batch"));
  }
  double elements = 1;
  for (const int64_t size : reshape.shape()) {
    if (size < -1 || size == 0) return Fail(absl::StrCat("shape has a dimension of ", size));
    elements *= static_cast<double>(size);
    shape.Append(size);
  }
  if (std::abs(elements) > 1e15) return Fail("the shape is too large");
  return b_.Reshape(x, shape);
}

Tensor LayerWriter::ApplyResidual(Tensor x, const ResidualLayer& residual, const std::string& path,
                                  int depth) {
  const Tensor y = ApplyList(x, residual.block(), absl::StrCat(path, ".block"), depth + 1);
  if (b_.ok() && b_.shape(y) != b_.shape(x)) {
    return Fail(absl::StrCat("its block turns ", b_.shape(x).ToString(), " into ", b_.shape(y).ToString(),
                             "; the two are added, so they must be equal"));
  }
  return b_.Add(x, y);
}

Tensor LayerWriter::ApplyRepeat(Tensor x, const RepeatLayer& repeat, const std::string& path, int depth) {
  if (repeat.times() < 1) return Fail(absl::StrCat("times is ", repeat.times(), "; it must be at least 1"));
  for (int round = 0; round < repeat.times() && b_.ok(); ++round) {
    auto scope = b_.Scope(absl::StrCat(round));
    x = ApplyList(x, repeat.block(), absl::StrCat(path, ".block"), depth + 1);
    if (!error_.ok() && round > 0) {
      error_ =
          ConfigError(absl::StrCat(error_.message(), " (in round ", round + 1, " of ", repeat.times(), ")"));
    }
  }
  return x;
}

}  // namespace

absl::StatusOr<Tensor> ApplyLayers(Builder& b, Tensor x, const LayerList& layers, const DataSpec& data) {
  RETURN_IF_ERROR(b.error());
  LayerWriter writer(b, data);
  x = writer.ApplyList(x, layers, "model.layers", 0);
  RETURN_IF_ERROR(writer.error());
  return x;
}

}  // namespace lockstep::nn
