// Validation of the model of a configuration: required fields and ranges of each layer. Shapes are checked
// where the model is built (runtime/nn/build_model.h).
#include <algorithm>
#include <string>

#include "runtime/train/config_checks.h"

namespace lockstep::train {
namespace {

absl::Status CheckConv2d(const std::string& path, const Conv2dLayer& conv) {
  RETURN_IF_ERROR(Count(path + ".channels", conv.has_channels(), conv.channels()));
  RETURN_IF_ERROR(Count(path + ".kernel", conv.has_kernel(), conv.kernel()));
  RETURN_IF_ERROR(AtLeast(path + ".stride", conv.stride(), 1));
  RETURN_IF_ERROR(AtLeast(path + ".padding", conv.padding(), 0));
  RETURN_IF_ERROR(AtLeast(path + ".dilation", conv.dilation(), 1));
  return AtLeast(path + ".groups", conv.groups(), 1);
}

absl::Status CheckPool(const std::string& path, const PoolLayer& pool) {
  RETURN_IF_ERROR(Count(path + ".size", pool.has_size(), pool.size()));
  if (pool.has_stride()) RETURN_IF_ERROR(AtLeast(path + ".stride", pool.stride(), 1));
  return AtLeast(path + ".padding", pool.padding(), 0);
}

absl::Status CheckLayers(const std::string& path, const LayerList& list);

absl::Status CheckBlock(const std::string& path, bool is_set, const LayerList& block) {
  RETURN_IF_ERROR(Needed(path, is_set));
  return CheckLayers(path, block);
}

absl::Status CheckLayer(const std::string& path, const Layer& layer) {
  switch (layer.kind_case()) {
    case Layer::kConv2D:
      return CheckConv2d(path + ".conv2d", layer.conv2d());
    case Layer::kLinear:
      return Count(path + ".linear.features", layer.linear().has_features(), layer.linear().features());
    case Layer::kMaxPool:
      return CheckPool(path + ".max_pool", layer.max_pool());
    case Layer::kAvgPool:
      return CheckPool(path + ".avg_pool", layer.avg_pool());
    case Layer::kBatchNorm:
      RETURN_IF_ERROR(Above(path + ".batch_norm.epsilon", layer.batch_norm().epsilon(), 0));
      return FromTo(path + ".batch_norm.momentum", layer.batch_norm().momentum(), 0, 1.0000001);
    case Layer::kLayerNorm:
      return Above(path + ".layer_norm.epsilon", layer.layer_norm().epsilon(), 0);
    case Layer::kDropout:
      return FromTo(path + ".dropout.rate", layer.dropout().rate(), 0, 1);
    case Layer::kEmbedding:
      RETURN_IF_ERROR(
          Count(path + ".embedding.rows", layer.embedding().has_rows(), layer.embedding().rows()));
      return Count(path + ".embedding.width", layer.embedding().has_width(), layer.embedding().width());
    case Layer::kAttention:
      return Count(path + ".attention.heads", layer.attention().has_heads(), layer.attention().heads());
    case Layer::kReshape:
      return Needed(path + ".reshape.shape", layer.reshape().shape_size() > 0);
    case Layer::kResidual:
      return CheckBlock(path + ".residual.block", layer.residual().has_block(), layer.residual().block());
    case Layer::kRepeat:
      RETURN_IF_ERROR(Count(path + ".repeat.times", layer.repeat().has_times(), layer.repeat().times()));
      return CheckBlock(path + ".repeat.block", layer.repeat().has_block(), layer.repeat().block());
    case Layer::KIND_NOT_SET:
      return Wrong(path, "says no kind of layer");
    default:
      return absl::OkStatus();
  }
}

absl::Status CheckLayers(const std::string& path, const LayerList& list) {
  if (list.layer_size() == 0) return Wrong(path, "holds no layer");
  for (int i = 0; i < list.layer_size(); ++i) {
    RETURN_IF_ERROR(CheckLayer(absl::StrCat(path, ".layer[", i, "]"), list.layer(i)));
  }
  return absl::OkStatus();
}

absl::Status CheckMlp(const MlpConfig& mlp) {
  for (const int32_t width : mlp.hidden()) RETURN_IF_ERROR(AtLeast("model.mlp.hidden", width, 1));
  if (mlp.has_outputs()) RETURN_IF_ERROR(AtLeast("model.mlp.outputs", mlp.outputs(), 1));
  return FromTo("model.mlp.dropout", mlp.dropout(), 0, 1);
}

absl::Status CheckGpt(const GptConfig& gpt, const DataConfig& data) {
  RETURN_IF_ERROR(AtLeast("model.gpt.layers", gpt.layers(), 1));
  RETURN_IF_ERROR(AtLeast("model.gpt.width", gpt.width(), 1));
  RETURN_IF_ERROR(AtLeast("model.gpt.heads", gpt.heads(), 1));
  if (gpt.width() % gpt.heads() != 0) {
    return Wrong("model.gpt.heads",
                 absl::StrCat(gpt.heads(), " does not divide model.gpt.width: ", gpt.width()));
  }
  if (gpt.has_context()) RETURN_IF_ERROR(AtLeast("model.gpt.context", gpt.context(), 1));
  const int needed = !data.has_text()               ? data.synthetic().vocabulary()
                     : data.text().has_vocabulary() ? data.text().vocabulary()
                                                    : 256;
  const bool follows = !gpt.has_vocabulary() && data.text().vocabulary() > 0;  // as ResolveConfig fills it in
  if (!follows && gpt.vocabulary() < std::max(1, needed)) {
    return Wrong("model.gpt.vocabulary",
                 absl::StrCat(gpt.vocabulary(), " is less than the data's ", needed, " tokens"));
  }
  return FromTo("model.gpt.dropout", gpt.dropout(), 0, 1);
}

// A section that nothing reads is a mistake that would otherwise pass in silence.
absl::Status CheckSections(const ModelConfig& model) {
  struct Section {
    const char *field, *reader;
    bool is_set;
  };
  for (const Section& section :
       {Section{"mlp", "mlp", model.has_mlp()}, Section{"resnet", "resnet18", model.has_resnet()},
        Section{"gpt", "gpt", model.has_gpt()}}) {
    if (!section.is_set || model.name() == section.reader) continue;
    return Wrong(
        absl::StrCat("model.", section.field),
        absl::StrCat("is read by name: '", section.reader, "' only, but the model is ",
                     model.has_layers() ? "a list of layers"
                                        : absl::StrCat("'", model.name(), "'; did you mean '", section.reader,
                                                       "'? Else remove the section")));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckModel(const RunConfig& config) {
  RETURN_IF_ERROR(Needed("model", config.has_model()));
  const ModelConfig& model = config.model();
  if (model.has_name() == model.has_layers()) {
    return Wrong("model", model.has_name() ? "both name and layers are given; keep one"
                                           : "give either name (mlp, resnet18, gpt, ...) or layers { ... }");
  }
  RETURN_IF_ERROR(CheckSections(model));
  if (model.has_layers()) return CheckLayers("model.layers", model.layers());
  if (model.name() == "mlp") return CheckMlp(model.mlp());
  if (model.name() == "resnet18") {
    if (model.resnet().has_classes())
      RETURN_IF_ERROR(AtLeast("model.resnet.classes", model.resnet().classes(), 1));
    return AtLeast("model.resnet.width", model.resnet().width(), 1);
  }
  if (model.name() == "gpt") return CheckGpt(model.gpt(), config.data());
  return absl::OkStatus();  // other names are looked up where the models are
}

}  // namespace lockstep::train
