#include "runtime/nn/build_model.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/run_config.pb.h"
#include "runtime/nn/columns.h"
#include "runtime/nn/layer_list.h"

namespace lockstep::nn {
namespace {

using graph::Builder;
using graph::Graph;
using graph::Tensor;

bool IsInteger(DType dtype) { return dtype == DType::kI32 || dtype == DType::kI64; }

absl::Status ReadParams(const ModelConfig& config, ModelParams* params) {
  for (const ModelParam& param : config.param()) {
    if (param.has_number() == param.has_text()) {
      return ConfigError(absl::StrCat("model.param '", param.name(), "' wants either `number` or `text`"));
    }
    RETURN_IF_ERROR(param.has_number() ? params->Set(param.name(), param.number())
                                       : params->Set(param.name(), absl::string_view(param.text())));
  }
  return absl::OkStatus();
}

// The network's logits against integer labels.
absl::Status AddCrossEntropy(Builder& b, Tensor logits, Tensor label, const DataSpec& data) {
  const Shape have = b.shape(logits), rows = b.shape(label);
  if (!IsInteger(b.dtype(label))) {
    return ConfigError(absl::StrCat("loss.cross_entropy wants integer labels, but the label '",
                                    data.label.name, "' is ", data.label.type.ToString(),
                                    "; use mean_squared_error"));
  }
  bool fits = have.rank() == rows.rank() + 1;
  for (int axis = 0; fits && axis < rows.rank(); ++axis) fits = have[axis] == rows[axis];
  if (!fits) {
    return ConfigError(absl::StrCat("loss.cross_entropy: the model's output is ", have.ToString(),
                                    ", but labels of shape ", rows.ToString(),
                                    " want one row of logits each"));
  }
  // A language model may know more symbols than the data uses; a classifier with spare classes is a mistake.
  const bool exact = data.vocabulary == 0;
  if (data.classes > 0 && (exact ? have[-1] != data.classes : have[-1] < data.classes)) {
    return ConfigError(absl::StrCat("the model's last layer gives ", have[-1], " logits, but the label has ",
                                    data.classes, " classes"));
  }
  Tensor mask;
  if (!data.mask.empty()) mask = b.Input(data.mask, DType::kU8, rows);
  if (!data.mixed) {
    b.Loss(b.CrossEntropy(logits, label, mask));
  } else {
    const Tensor other = b.Input(data.label.name + ".other", b.dtype(label), rows);
    const Tensor share = b.Input(data.label.name + ".share", DType::kF32, rows);
    b.Loss(b.CrossEntropy(logits, label, {}, share));
    b.Loss(b.CrossEntropy(logits, other, {}, b.Shift(b.Neg(share), 1)));
  }
  b.Metric("accuracy", b.Accuracy(logits, label, mask));
  return absl::OkStatus();
}

absl::Status AddSquaredError(Builder& b, Tensor prediction, Tensor label, const DataSpec& data) {
  const Shape want = b.shape(label);
  if (IsInteger(b.dtype(label)) && data.classes > 0) {
    return ConfigError(absl::StrCat("loss.mean_squared_error wants a float target, but the label '",
                                    data.label.name,
                                    "' has classes; use cross_entropy, or data.label.shape"));
  }
  if (want.rank() == 0 && b.shape(prediction) == Shape{1}) prediction = b.Reshape(prediction, want);
  if (b.shape(prediction) != want) {
    return ConfigError(absl::StrCat("loss.mean_squared_error: the model's output is ",
                                    b.shape(prediction).ToString(), ", but the label is ", want.ToString()));
  }
  b.Loss(b.MeanSquaredError(prediction, label));
  return absl::OkStatus();
}

absl::StatusOr<Tensor> ApplyNetwork(Builder& b, Tensor x, const ModelConfig& config,
                                    const ModelParams& params, const DataSpec& data,
                                    const ModelRegistry::Entry* entry) {
  if (entry == nullptr) return ApplyLayers(b, x, config.layers(), data);
  const Tensor y = entry->network(b, x, NetworkRequest{config, params, data});
  RETURN_IF_ERROR(b.error());
  RETURN_IF_ERROR(params.Check());
  if (!y.valid()) return ConfigError(absl::StrCat("model '", config.name(), "' returned no tensor"));
  return y;
}

// Input, network, loss and metrics: a list of layers, or a registered network.
absl::StatusOr<Graph> BuildAroundNetwork(const ModelConfig& config, const LossConfig& loss,
                                         const DataSpec& data, int64_t micro_batch, const ModelParams& params,
                                         const ModelRegistry::Entry* entry) {
  Builder b(micro_batch);
  TableInputs tables;
  const Tensor x = InputOf(b, data, &tables);
  const Tensor label = b.Input(data.label.name, data.label.type.dtype, data.label.type.shape);
  RETURN_IF_ERROR(b.error());
  ASSIGN_OR_RETURN(Tensor y, ApplyNetwork(b, x, config, params, data, entry));
  y = AddLinearColumns(b, y, data, tables);
  RETURN_IF_ERROR(b.error());
  if (b.dtype(y) != DType::kF32 || !b.batched(y)) {
    return ConfigError("model: its output does not depend on the input through any layer");
  }
  b.Output("output", y);
  RETURN_IF_ERROR(loss.kind_case() == LossConfig::kMeanSquaredError ? AddSquaredError(b, y, label, data)
                                                                    : AddCrossEntropy(b, y, label, data));
  return std::move(b).Finish();
}

const FieldSpec* FindField(const DataSpec& data, const std::string& name) {
  if (name == data.input.name) return &data.input;
  if (name == data.label.name) return &data.label;
  for (const FieldSpec& extra : data.extra) {
    if (name == extra.name) return &extra;
  }
  return nullptr;
}

// A whole model says itself what it reads; the data must have it.
absl::Status CheckInputs(const std::string& model, const Graph& graph, const DataSpec& data) {
  for (const graph::Input& input : graph.inputs) {
    const FieldSpec* field = FindField(data, input.name);
    if (field == nullptr) {
      std::string known = absl::StrCat("'", data.input.name, "'");
      for (const FieldSpec& extra : data.extra) absl::StrAppend(&known, ", '", extra.name, "'");
      return ConfigError(absl::StrCat("model '", model, "' reads '", input.name, "', but the data has only ",
                                      known, " and '", data.label.name, "'"));
    }
    TensorType want = field->type;
    want.shape = Shape{graph.micro_batch};
    for (const int64_t size : field->type.shape.dims()) want.shape.Append(size);
    if (input.type != want) {
      return ConfigError(absl::StrCat("model '", model, "' reads '", input.name, "' as ",
                                      input.type.ToString(), ", but the data gives ", want.ToString(),
                                      " (the first number is the micro-batch)"));
    }
  }
  return absl::OkStatus();
}

// What changes what a sample counts must not be overlooked.
absl::Status CheckReads(const std::string& model, const Graph& graph, const DataSpec& data) {
  const std::string share = data.label.name + ".share";
  const auto reads = [&](const std::string& name) {
    return std::any_of(graph.inputs.begin(), graph.inputs.end(),
                       [&](const graph::Input& input) { return input.name == name; });
  };
  if (data.mixed && !reads(share)) {
    return ConfigError(absl::StrCat(
        "model '", model, "' does not read '", share, "' and '", data.label.name,
        ".other', so its loss would not know that pictures are mixed; leave out mixup and cutmix"));
  }
  if (!data.mask.empty() && !reads(data.mask)) {
    return ConfigError(absl::StrCat("model '", model, "' does not read '", data.mask,
                                    "', so its loss would count what windows are "
                                    "filled up with; leave out data.text.packed"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Graph> BuildWholeModel(const ModelConfig& config, const DataSpec& data, int64_t micro_batch,
                                      const ModelParams& params, const ModelFunction& model) {
  Builder b(micro_batch);
  model(b, params);
  RETURN_IF_ERROR(params.Check());
  ASSIGN_OR_RETURN(Graph graph, std::move(b).Finish());
  if (graph.loss.empty())
    return ConfigError(absl::StrCat("model '", config.name(), "' has no loss: call Builder::Loss"));
  RETURN_IF_ERROR(CheckInputs(config.name(), graph, data));
  RETURN_IF_ERROR(CheckReads(config.name(), graph, data));
  return graph;
}

}  // namespace

absl::StatusOr<Graph> BuildModel(const ModelConfig& config, const LossConfig& loss, const DataSpec& data,
                                 int64_t micro_batch, const ModelRegistry& registry) {
  if (config.has_name() == config.has_layers()) {
    return ConfigError(config.has_name() ? "model: it has both a name and layers; give one of them"
                                         : "model: give either a name or layers");
  }
  ModelParams params;
  RETURN_IF_ERROR(ReadParams(config, &params));
  const ModelRegistry::Entry* entry = nullptr;
  if (config.has_name()) {
    ASSIGN_OR_RETURN(entry, registry.Find(config.name()));
    if (entry->model) return BuildWholeModel(config, data, micro_batch, params, entry->model);
  } else {
    RETURN_IF_ERROR(params.Check());
  }
  return BuildAroundNetwork(config, loss, data, micro_batch, params, entry);
}

}  // namespace lockstep::nn
