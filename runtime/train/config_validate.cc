#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/core/names.h"
#include "runtime/core/shape.h"
#include "runtime/train/config.h"
#include "runtime/train/config_internal.h"

namespace lockstep::train {
namespace {

constexpr int kMostLanes = 65536;
constexpr int64_t kMostSteps = int64_t{1} << 48;

absl::Status Wrong(absl::string_view path, absl::string_view what) {
  return ConfigError(absl::StrCat(path, ": ", what));
}

// The range checks; NaN is in no range.
absl::Status AtLeast(absl::string_view path, double value, double least) {
  if (value >= least && std::isfinite(value)) return absl::OkStatus();
  return Wrong(path, absl::StrCat(value, " is out of range; it must be at least ", least));
}
absl::Status Above(absl::string_view path, double value, double bound) {
  if (value > bound && std::isfinite(value)) return absl::OkStatus();
  return Wrong(path, absl::StrCat(value, " is out of range; it must be greater than ", bound));
}
absl::Status FromTo(absl::string_view path, double value, double least, double below) {
  if (value >= least && value < below) return absl::OkStatus();
  return Wrong(path, absl::StrCat(value, " is out of range; it must be in [", least, ", ", below, ")"));
}
absl::Status Needed(absl::string_view path, bool is_set) {
  return is_set ? absl::OkStatus() : Wrong(path, "is required");
}
absl::Status NotBuilt(absl::string_view path, absl::string_view value, absl::string_view instead) {
  return Wrong(path, absl::StrCat(value, " is not built yet; use ", instead));
}
// Required and at least 1.
absl::Status Count(absl::string_view path, bool is_set, int64_t value) {
  RETURN_IF_ERROR(Needed(path, is_set));
  return AtLeast(path, value, 1);
}

template <typename Values>
absl::Status Dimensions(absl::string_view path, const Values& shape) {
  if (shape.size() >= Shape::kMaxRank) {  // one is the batch's
    return Wrong(path,
                 absl::StrCat(shape.size(), " dimensions; at most ", Shape::kMaxRank - 1, " are possible"));
  }
  double size = 1;
  for (const int64_t dimension : shape) {
    RETURN_IF_ERROR(AtLeast(path, dimension, 1));
    size *= static_cast<double>(dimension);
  }
  return size < 1e12 ? absl::OkStatus()
                     : Wrong(path, absl::StrCat("[", absl::StrJoin(shape, ", "), "] is too large"));
}

// ---- Model

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
  const int needed = data.has_text() ? 256 : data.synthetic().vocabulary();
  if (gpt.vocabulary() < std::max(1, needed)) {
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
                     model.has_layers() ? "a list of layers" : absl::StrCat("'", model.name(), "'")));
  }
  return absl::OkStatus();
}

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

// ---- Data and loss

absl::Status CheckRecords(const DataConfig& data, const LossConfig& loss) {
  RETURN_IF_ERROR(Needed("data.train", !data.train().empty()));
  RETURN_IF_ERROR(Needed("data.input", data.has_input()));
  RETURN_IF_ERROR(Needed("data.input.feature", !data.input().feature().empty()));
  RETURN_IF_ERROR(Dimensions("data.input.shape", data.input().shape()));
  RETURN_IF_ERROR(Needed("data.label", data.has_label()));
  RETURN_IF_ERROR(Needed("data.label.feature", !data.label().feature().empty()));
  RETURN_IF_ERROR(Dimensions("data.label.shape", data.label().shape()));
  if (data.label().has_classes()) {
    RETURN_IF_ERROR(AtLeast("data.label.classes", data.label().classes(), 1));
    if (data.label().shape_size() > 0)
      return Wrong("data.label", "both classes and shape are given; keep one");
    if (loss.has_mean_squared_error()) {
      return Wrong("loss.mean_squared_error",
                   "wants float targets: give data.label.shape instead of classes");
    }
  } else if (!loss.has_mean_squared_error()) {
    return Wrong("data.label.classes", "is required by loss { cross_entropy {} }");
  }
  return absl::OkStatus();
}

absl::Status CheckText(const DataConfig& data, const LossConfig& loss) {
  RETURN_IF_ERROR(Needed("data.train", !data.train().empty()));
  RETURN_IF_ERROR(Count("data.text.length", data.text().has_length(), data.text().length()));
  if (data.text().has_stride()) RETURN_IF_ERROR(AtLeast("data.text.stride", data.text().stride(), 1));
  if (loss.has_mean_squared_error()) return Wrong("loss.mean_squared_error", "does not go with data.text");
  return absl::OkStatus();
}

absl::Status CheckSynthetic(const SyntheticData& synthetic) {
  RETURN_IF_ERROR(Needed("data.synthetic.shape", synthetic.shape_size() > 0));
  RETURN_IF_ERROR(Dimensions("data.synthetic.shape", synthetic.shape()));
  RETURN_IF_ERROR(AtLeast("data.synthetic.classes", synthetic.classes(), 0));
  RETURN_IF_ERROR(AtLeast("data.synthetic.vocabulary", synthetic.vocabulary(), 0));
  if ((synthetic.classes() > 0) == (synthetic.vocabulary() > 0)) {
    return Wrong("data.synthetic", "give either classes or vocabulary");
  }
  return AtLeast("data.synthetic.records", synthetic.records(), 1);
}

absl::Status CheckData(const RunConfig& config) {
  RETURN_IF_ERROR(Needed("data", config.has_data()));
  const DataConfig& data = config.data();
  std::vector<std::string> sources;
  if (data.has_input() || data.has_label()) sources.push_back("input and label");
  if (data.has_text()) sources.push_back("text");
  if (data.has_synthetic()) sources.push_back("synthetic");
  if (sources.empty()) return Wrong("data", "give one source: input and label, text, or synthetic");
  if (sources.size() > 1)
    return Wrong("data", absl::StrCat("give one source, not ", absl::StrJoin(sources, " and ")));
  if (data.has_text()) return CheckText(data, config.loss());
  if (!data.has_synthetic()) return CheckRecords(data, config.loss());
  if (data.has_train() || data.has_eval())
    return Wrong("data.synthetic", "is made up: leave out data.train and data.eval");
  return CheckSynthetic(data.synthetic());
}

absl::Status CheckEval(const RunConfig& config) {
  if (!config.has_eval()) return absl::OkStatus();
  const EvalConfig& eval = config.eval();
  if (config.data().eval().empty() && !config.data().has_synthetic()) {
    return Wrong("eval", "needs held-out records: give data.eval, or leave eval out");
  }
  if (eval.has_every_steps() && eval.has_every_epochs()) {
    return Wrong("eval", "both every_steps and every_epochs are given; keep one");
  }
  if (eval.has_every_steps()) RETURN_IF_ERROR(AtLeast("eval.every_steps", eval.every_steps(), 1));
  if (eval.has_every_epochs()) RETURN_IF_ERROR(Above("eval.every_epochs", eval.every_epochs(), 0));
  const std::vector<std::string> metrics = {"loss", "accuracy", "bits_per_byte"};
  if (std::find(metrics.begin(), metrics.end(), eval.metric()) == metrics.end()) {
    return Wrong("eval.metric",
                 absl::StrCat("no metric '", eval.metric(), "'", Suggestion(eval.metric(), metrics)));
  }
  if (eval.metric() == "bits_per_byte" && !config.data().has_text()) {
    return Wrong("eval.metric", "bits_per_byte is measured on data.text only");
  }
  if (eval.metric() == "accuracy" && config.loss().has_mean_squared_error()) {
    return Wrong("eval.metric", "accuracy is measured with loss { cross_entropy {} } only");
  }
  return AtLeast("eval.max_records", eval.max_records(), 0);
}

// ---- Optimizer and schedule

absl::Status CheckOptimizer(const OptimizerConfig& optimizer) {
  RETURN_IF_ERROR(AtLeast("optimizer.clip_norm", optimizer.clip_norm(), 0));
  if (optimizer.has_sgd()) {
    const SgdConfig& sgd = optimizer.sgd();
    RETURN_IF_ERROR(Above("optimizer.sgd.lr", sgd.lr(), 0));
    RETURN_IF_ERROR(FromTo("optimizer.sgd.momentum", sgd.momentum(), 0, 1));
    if (sgd.nesterov() && sgd.momentum() == 0)
      return Wrong("optimizer.sgd.nesterov", "needs momentum above 0");
    return AtLeast("optimizer.sgd.weight_decay", sgd.weight_decay(), 0);
  }
  const AdamwConfig& adamw = optimizer.adamw();
  RETURN_IF_ERROR(Above("optimizer.adamw.lr", adamw.lr(), 0));
  RETURN_IF_ERROR(FromTo("optimizer.adamw.beta1", adamw.beta1(), 0, 1));
  RETURN_IF_ERROR(FromTo("optimizer.adamw.beta2", adamw.beta2(), 0, 1));
  RETURN_IF_ERROR(Above("optimizer.adamw.epsilon", adamw.epsilon(), 0));
  return AtLeast("optimizer.adamw.weight_decay", adamw.weight_decay(), 0);
}

absl::Status CheckSchedule(const ScheduleConfig& schedule) {
  switch (schedule.kind_case()) {
    case ScheduleConfig::kConstant:
      return AtLeast("schedule.constant.warmup_steps", schedule.constant().warmup_steps(), 0);
    case ScheduleConfig::kLinear:
      RETURN_IF_ERROR(AtLeast("schedule.linear.warmup_steps", schedule.linear().warmup_steps(), 0));
      return AtLeast("schedule.linear.final", schedule.linear().final(), 0);
    case ScheduleConfig::kCosine:
      RETURN_IF_ERROR(AtLeast("schedule.cosine.warmup_steps", schedule.cosine().warmup_steps(), 0));
      return AtLeast("schedule.cosine.final", schedule.cosine().final(), 0);
    case ScheduleConfig::kStep:
      RETURN_IF_ERROR(AtLeast("schedule.step.warmup_steps", schedule.step().warmup_steps(), 0));
      for (const int64_t milestone : schedule.step().milestone()) {
        RETURN_IF_ERROR(AtLeast("schedule.step.milestone", milestone, 1));
      }
      return Above("schedule.step.gamma", schedule.step().gamma(), 0);
    case ScheduleConfig::KIND_NOT_SET:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

// ---- Lanes and batch

// The number of lanes nearest to `lanes` that divides `share`, the smaller of two as near.
int NearestDivisor(int64_t share, int lanes) {
  for (int distance = 1;; ++distance) {
    if (distance < lanes && share % (lanes - distance) == 0) return lanes - distance;
    if (share % (lanes + distance) == 0) return lanes + distance;
    if (lanes - distance < 1 && lanes + distance > share) return 1;
  }
}

absl::Status CheckBatch(const RunConfig& config) {
  RETURN_IF_ERROR(AtLeast("lanes", config.lanes(), 1));
  if (config.lanes() > kMostLanes)
    return Wrong("lanes", absl::StrCat(config.lanes(), " is more than ", kMostLanes));
  RETURN_IF_ERROR(AtLeast("accumulate", config.accumulate(), 1));
  RETURN_IF_ERROR(Count("global_batch", config.has_global_batch(), config.global_batch()));
  const int64_t batch = config.global_batch();
  const int64_t unit = int64_t{config.lanes()} * config.accumulate();
  if (batch % unit == 0) return absl::OkStatus();
  const int64_t below = batch / unit * unit;
  const std::string nearest = absl::StrCat(below > 0 ? absl::StrCat(below, " or ") : "", below + unit);
  std::string text =
      absl::StrCat(batch, " is not a multiple of lanes", config.accumulate() > 1 ? " x accumulate" : "",
                   " = ", unit, "; set global_batch: ", nearest);
  if (batch % config.accumulate() == 0) {
    absl::StrAppend(&text, ", or lanes: ", NearestDivisor(batch / config.accumulate(), config.lanes()));
  }
  return Wrong("global_batch", absl::StrCat(text, " (either changes the result)"));
}

absl::Status CheckHorizon(const RunConfig& config) {
  if (config.has_steps() == config.has_epochs()) {
    return ConfigError(config.has_steps() ? "steps, epochs: both are given; the horizon needs one of them"
                                          : "steps or epochs: one of them is required");
  }
  if (config.has_epochs()) {
    RETURN_IF_ERROR(Above("epochs", config.epochs(), 0));
    return FromTo("epochs", config.epochs(), 0, 1e9);
  }
  RETURN_IF_ERROR(AtLeast("steps", config.steps(), 1));
  return FromTo("steps", config.steps(), 1, kMostSteps);
}

absl::Status CheckWorld(const RunConfig& config, int world_size) {
  if (world_size <= config.lanes()) return absl::OkStatus();
  return ConfigError(absl::StrCat("lanes: ", config.lanes(), " lanes cannot be shared by ", world_size,
                                  " ranks; start at most ", config.lanes(), " ranks (mpirun -np ",
                                  config.lanes(), "), or set lanes: ", world_size,
                                  " or more (which changes the result)"));
}

// ---- Execution

absl::Status CheckExecution(const ExecutionConfig& execution) {
  if (execution.device() == CUDA) return NotBuilt("execution.device", "CUDA", "CPU or AUTO");
  if (execution.optimizer_state() == SHARDED) {
    return NotBuilt("execution.optimizer_state", "SHARDED", "REPLICATED");
  }
  RETURN_IF_ERROR(AtLeast("execution.threads", execution.threads(), 0));
  RETURN_IF_ERROR(FromTo("execution.threads", execution.threads(), 0, 4096));
  RETURN_IF_ERROR(AtLeast("execution.log_every_steps", execution.log_every_steps(), 0));
  RETURN_IF_ERROR(FromTo("execution.read_ahead_steps", execution.read_ahead_steps(), 1, 4096));
  RETURN_IF_ERROR(Above("execution.comm.deadline_seconds", execution.comm().deadline_seconds(), 0));
  RETURN_IF_ERROR(FromTo("execution.comm.bucket_kib", execution.comm().bucket_kib(), 1, 1 << 21));
  const CheckpointConfig& checkpoint = execution.checkpoint();
  RETURN_IF_ERROR(AtLeast("execution.checkpoint.every_steps", checkpoint.every_steps(), 0));
  RETURN_IF_ERROR(AtLeast("execution.checkpoint.every_minutes", checkpoint.every_minutes(), 0));
  return AtLeast("execution.checkpoint.keep_last", checkpoint.keep_last(), 1);
}

}  // namespace

absl::Status ValidateConfig(const RunConfig& config, int world_size) {
  RETURN_IF_ERROR(CheckModel(config));
  RETURN_IF_ERROR(CheckData(config));
  RETURN_IF_ERROR(CheckOptimizer(config.optimizer()));
  RETURN_IF_ERROR(CheckSchedule(config.schedule()));
  RETURN_IF_ERROR(CheckBatch(config));
  RETURN_IF_ERROR(CheckHorizon(config));
  RETURN_IF_ERROR(CheckEval(config));
  if (config.precision() != FP32) return NotBuilt("precision", Precision_Name(config.precision()), "FP32");
  if (config.has_ema()) RETURN_IF_ERROR(FromTo("ema.decay", config.ema().decay(), 0, 1));
  RETURN_IF_ERROR(CheckExecution(config.execution()));
  return CheckWorld(config, world_size);
}

}  // namespace lockstep::train
