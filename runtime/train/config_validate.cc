#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/core/names.h"
#include "runtime/train/config.h"
#include "runtime/train/config_checks.h"

namespace lockstep::train {
namespace {

constexpr int kMostLanes = 65536;
constexpr int64_t kMostSteps = int64_t{1} << 48;

// ---- Data and loss

absl::Status CheckInput(const std::string& path, const InputFeature& input) {
  RETURN_IF_ERROR(Needed(path + ".feature", !input.feature().empty()));
  RETURN_IF_ERROR(Dimensions(path + ".shape", input.shape()));
  if ((input.variable() || input.steps()) && input.shape_size() == 0)
    return Wrong(path + ".shape", "begins with how many rows there may be");
  return absl::OkStatus();
}

absl::Status CheckRecords(const DataConfig& data, const LossConfig& loss) {
  RETURN_IF_ERROR(Needed("data.train", !data.train().empty() || data.mixture_size() > 0));
  if (data.has_image()) {
    RETURN_IF_ERROR(CheckImage(data.image()));
  } else if (data.has_columns()) {
    RETURN_IF_ERROR(CheckColumns(data.columns()));
  } else {
    RETURN_IF_ERROR(Needed("data.input", data.has_input()));
    RETURN_IF_ERROR(CheckInput("data.input", data.input()));
    for (int i = 0; i < data.extra_size(); ++i) {
      RETURN_IF_ERROR(CheckInput(absl::StrCat("data.extra[", i, "]"), data.extra(i)));
    }
  }
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

absl::Status CheckTokens(const TextData& text) {
  const bool has_tokenizer = !text.tokenizer().empty();
  if (!has_tokenizer && text.has_separator())
    return Wrong("data.text.separator", "is a token of data.text.tokenizer");
  if (text.has_token_bytes()) {
    const int32_t size = text.token_bytes();
    if (!text.tokens())
      return Wrong("data.text.token_bytes", "says how ids lie in records: it needs tokens: true");
    if (size != 0 && size != 1 && size != 2 && size != 4 && size != 8) {
      return Wrong("data.text.token_bytes", absl::StrCat(size, " is not 1, 2, 4 or 8 (or 0: an int64_list)"));
    }
  }
  if (text.has_vocabulary()) {
    if (!has_tokenizer && !text.tokens())
      return Wrong("data.text.vocabulary", "is 256 for text without a tokenizer");
    return AtLeast("data.text.vocabulary", text.vocabulary(), 1);
  }
  if (text.tokens() && !has_tokenizer) {
    return Wrong("data.text",
                 "records of ids need vocabulary, how many there are, or the tokenizer that made them");
  }
  return absl::OkStatus();
}

absl::Status CheckText(const DataConfig& data, const LossConfig& loss) {
  RETURN_IF_ERROR(Needed("data.train", !data.train().empty() || data.mixture_size() > 0));
  RETURN_IF_ERROR(Count("data.text.length", data.text().has_length(), data.text().length()));
  RETURN_IF_ERROR(CheckTokens(data.text()));
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
  if (data.has_input() || (data.has_label() && !data.has_image() && !data.has_columns()))
    sources.push_back("input and label");
  if (data.has_image()) sources.push_back("image and label");
  if (data.has_columns()) sources.push_back("columns and label");
  if (data.has_text()) sources.push_back("text");
  if (data.has_synthetic()) sources.push_back("synthetic");
  if (sources.empty())
    return Wrong("data",
                 "give one source: input and label, image and label, columns and label, text, or synthetic");
  if (sources.size() > 1)
    return Wrong("data", absl::StrCat("give one source, not ", absl::StrJoin(sources, " and ")));
  if (data.extra_size() > 0 && !data.has_input())
    return Wrong("data.extra", "goes beside data.input, which is not there");
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

// ---- Numerics

absl::Status CheckOutliers(const std::string& path, const OutlierGuard& guard) {
  RETURN_IF_ERROR(Above(path + ".threshold", guard.threshold(), 0));
  RETURN_IF_ERROR(AtLeast(path + ".window", guard.window(), 2));
  return AtLeast(path + ".warmup", guard.warmup(), 2);
}

absl::Status CheckNumerics(const NumericsConfig& numerics) {
  RETURN_IF_ERROR(AtLeast("numerics.max_skips_in_a_row", numerics.max_skips_in_a_row(), 0));
  if (numerics.has_loss()) RETURN_IF_ERROR(CheckOutliers("numerics.loss", numerics.loss()));
  if (numerics.has_grad_norm()) RETURN_IF_ERROR(CheckOutliers("numerics.grad_norm", numerics.grad_norm()));
  return absl::OkStatus();
}

// ---- Compression

// Why error feedback and REPRODUCIBLE exclude each other.
absl::Status CheckUnordered(const RunConfig& config, absl::string_view path) {
  if (config.reduction() == UNORDERED) return absl::OkStatus();
  return Wrong(
      path,
      "needs reduction: UNORDERED: each rank compresses the sum of its own lanes and remembers what it "
      "left out, so the bits depend on the number of ranks, which REPRODUCIBLE rules out; set reduction: "
      "UNORDERED, or use compression { wire: BF16 }, which goes with both");
}

absl::Status CheckCompression(const RunConfig& config) {
  const CompressionConfig& compression = config.compression();
  switch (compression.method_case()) {
    case CompressionConfig::kPowerSgd:
      RETURN_IF_ERROR(FromTo("compression.power_sgd.rank", compression.power_sgd().rank(), 1, 257));
      return CheckUnordered(config, "compression.power_sgd");
    case CompressionConfig::kTopK:
      RETURN_IF_ERROR(Above("compression.top_k.ratio", compression.top_k().ratio(), 0));
      if (compression.top_k().ratio() > 1) {
        return Wrong("compression.top_k.ratio",
                     absl::StrCat(compression.top_k().ratio(), " is out of range; it must be at most 1"));
      }
      return CheckUnordered(config, "compression.top_k");
    case CompressionConfig::kWire:
    case CompressionConfig::METHOD_NOT_SET:
      return absl::OkStatus();
  }
  return absl::OkStatus();
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
  const ReadConfig& read = execution.read();
  RETURN_IF_ERROR(FromTo("execution.read.ahead_mib", read.ahead_mib(), 1, 1 << 20));
  if (read.has_decompressed_mib())
    RETURN_IF_ERROR(FromTo("execution.read.decompressed_mib", read.decompressed_mib(), 1, 1 << 24));
  RETURN_IF_ERROR(FromTo("execution.read.cache_mib", read.cache_mib(), 1, int64_t{1} << 30));
  RETURN_IF_ERROR(FromTo("execution.read.deadline_seconds", read.deadline_seconds(), 1, 86400));
  RETURN_IF_ERROR(FromTo("execution.read.connections", read.connections(), 1, 1024));
  RETURN_IF_ERROR(Above("execution.comm.deadline_seconds", execution.comm().deadline_seconds(), 0));
  RETURN_IF_ERROR(Above("execution.comm.connect_seconds", execution.comm().connect_seconds(), 0));
  RETURN_IF_ERROR(FromTo("execution.comm.bucket_kib", execution.comm().bucket_kib(), 1, 1 << 21));
  RETURN_IF_ERROR(AtLeast("execution.integrity.every_steps", execution.integrity().every_steps(), 0));
  RETURN_IF_ERROR(AtLeast("execution.integrity.max_heals", execution.integrity().max_heals(), 0));
  const CheckpointConfig& checkpoint = execution.checkpoint();
  RETURN_IF_ERROR(AtLeast("execution.checkpoint.every_steps", checkpoint.every_steps(), 0));
  RETURN_IF_ERROR(AtLeast("execution.checkpoint.every_minutes", checkpoint.every_minutes(), 0));
  RETURN_IF_ERROR(AtLeast("execution.checkpoint.keep_every_steps", checkpoint.keep_every_steps(), 0));
  RETURN_IF_ERROR(AtLeast("execution.checkpoint.shard_mib", checkpoint.shard_mib(), 0));
  return AtLeast("execution.checkpoint.keep_last", checkpoint.keep_last(), 1);
}

}  // namespace

absl::Status ValidateConfig(const RunConfig& config, int world_size) {
  RETURN_IF_ERROR(CheckModel(config));
  RETURN_IF_ERROR(CheckData(config));
  RETURN_IF_ERROR(CheckOptimizer(config.optimizer()));
  RETURN_IF_ERROR(CheckSchedule(config.schedule()));
  RETURN_IF_ERROR(CheckBatch(config));
  RETURN_IF_ERROR(CheckOrder(config));
  RETURN_IF_ERROR(CheckMixing(config));
  RETURN_IF_ERROR(CheckHorizon(config));
  RETURN_IF_ERROR(CheckEval(config));
  if (config.precision() != FP32) return NotBuilt("precision", Precision_Name(config.precision()), "FP32");
  if (config.has_ema()) RETURN_IF_ERROR(FromTo("ema.decay", config.ema().decay(), 0, 1));
  RETURN_IF_ERROR(CheckCompression(config));
  RETURN_IF_ERROR(CheckNumerics(config.numerics()));
  RETURN_IF_ERROR(CheckExecution(config.execution()));
  return CheckWorld(config, world_size);
}

}  // namespace lockstep::train
