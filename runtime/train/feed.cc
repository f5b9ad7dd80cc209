#include "runtime/train/feed.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/core/names.h"
#include "runtime/data/columns/column_source.h"
#include "runtime/data/dataset.h"
#include "runtime/data/order.h"
#include "runtime/data/remote/remote_file_system.h"
#include "runtime/data/sources.h"
#include "runtime/train/config.h"
#include "runtime/train/feed_columns.h"
#include "runtime/train/feed_features.h"
#include "runtime/train/feed_images.h"
#include "runtime/train/feed_order.h"

namespace lockstep::train {
namespace {

using SourceOr = absl::StatusOr<std::shared_ptr<const data::SampleSource>>;

absl::StatusOr<Shape> ShapeOf(const google::protobuf::RepeatedField<int64_t>& dims, absl::string_view field) {
  auto shape = Shape::FromDims({dims.data(), static_cast<size_t>(dims.size())});
  if (!shape.ok()) return ConfigError(absl::StrCat(field, ": ", shape.status().message()));
  return *shape;
}

SourceOr OpenText(const TextData& config, std::shared_ptr<const data::Dataset> dataset,
                  const std::string& config_path, FileSystem* fs) {
  const data::WindowOptions windows{config.length(), config.stride()};
  if (config.tokenizer().empty() && !config.tokens()) {
    return data::MakeTextSource(std::move(dataset), config.feature(), windows);
  }
  data::TokenOptions options;
  options.feature = config.feature();
  options.holds_ids = config.tokens();
  options.id_bytes = config.token_bytes();
  options.separator = config.separator();
  options.vocabulary = config.vocabulary();
  options.windows = windows;
  options.packed = config.packed();
  if (!config.tokenizer().empty()) {
    auto path = LocateConfigPath(config.tokenizer(), config_path, fs);
    if (!path.ok()) return DataError(path.status().message());
    ASSIGN_OR_RETURN(options.tokenizer, data::Tokenizer::Load(fs, *path));
  }
  return data::MakeTokenSource(std::move(dataset), std::move(options));
}

// How many different tokens there are; 0 where the input holds none.
int64_t Vocabulary(const DataConfig& data) {
  if (!data.has_text()) return data.synthetic().vocabulary();
  return data.text().has_vocabulary() ? data.text().vocabulary() : 256;
}

SourceOr MakeSynthetic(const SyntheticData& config, uint64_t seed) {
  if (config.vocabulary() < 1 && config.classes() < 1) {
    return ConfigError("data.synthetic needs classes (for labels) or vocabulary (for token ids) above 0");
  }
  ASSIGN_OR_RETURN(const Shape shape, ShapeOf(config.shape(), "data.synthetic.shape"));
  data::SyntheticInput input, label;
  if (config.vocabulary() > 0) {
    input = {{"tokens", {DType::kI32, shape}}, config.vocabulary()};
    label = {{"targets", {DType::kI32, shape}}, config.vocabulary()};
  } else {
    input = {{"input", {DType::kF32, shape}}, 0};
    label = {{"label", {DType::kI64, Shape()}}, config.classes()};
  }
  return data::MakeSyntheticSource(seed, config.records(), {input, label});
}

// Nothing: whatever a file is.
std::optional<data::Compression> WantedCompression(const DataConfig& data) {
  switch (data.compression()) {
    case DataConfig::AUTO:
      return std::nullopt;
    case DataConfig::NONE:
      return data::Compression::kNone;
    case DataConfig::GZIP:
      return data::Compression::kGzip;
    case DataConfig::ZLIB:
      return data::Compression::kZlib;
    case DataConfig::ZSTD:
      return data::Compression::kZstd;
  }
  return std::nullopt;
}

data::DatasetOptions OptionsOf(const RunConfig& config) {
  const ReadConfig& read = config.execution().read();
  data::DatasetOptions options;
  options.compression = WantedCompression(config.data());
  options.filter = FilterOf(config.data());
  options.unpacked_limit_bytes = static_cast<uint64_t>(read.decompressed_mib()) << 20;
  options.read = read.mode() == ReadConfig::MAPPED ? data::ReadMode::kMapped
                 : read.mode() == ReadConfig::READ ? data::ReadMode::kRead
                                                   : data::ReadMode::kAuto;
  options.ahead.budget_bytes = static_cast<uint64_t>(read.ahead_mib()) << 20;
  options.ahead.threads = read.connections();
  return options;
}

data::RemoteOptions RemoteOf(const RunConfig& config) {
  const ReadConfig& read = config.execution().read();
  data::RemoteOptions options;
  options.cache_folder = read.cache();
  options.cache_bytes = static_cast<uint64_t>(read.cache_mib()) << 20;
  options.retry.deadline = absl::Seconds(read.deadline_seconds());
  return options;
}

}  // namespace

SourceOr Feed::OpenSource(const RunConfig& config, const std::string& pattern, bool augment,
                          const std::string& config_path, FileSystem* fs) {
  const DataConfig& data = config.data();
  if (data.has_synthetic()) return MakeSynthetic(data.synthetic(), config.seed());
  auto located = LocateConfigPath(pattern, config_path, fs);
  if (!located.ok()) return DataError(located.status().message());
  ASSIGN_OR_RETURN(auto dataset, data::Dataset::Open(fs, {*located}, OptionsOf(config)));
  for (data::FileFacts& file : dataset->Facts()) facts_.files.push_back({std::move(file), !augment});
  if (data.has_text()) {
    return OpenText(data.text(), std::move(dataset), config_path, fs);
  }
  if (data.has_input()) return OpenFeatures(data, std::move(dataset));
  ASSIGN_OR_RETURN(data::FeatureSpec label, LabelSpec(data));
  if (data.has_image())
    return OpenImages(data.image(), config.seed(), augment, std::move(dataset), std::move(label));
  if (columns_.empty()) {  // the training data comes first
    ASSIGN_OR_RETURN(columns_, ResolveColumns(data.columns(), *dataset, config_path, fs));
  }
  return data::MakeColumnSource(std::move(dataset), columns_, std::move(label));
}

SourceOr Feed::OpenTraining(const RunConfig& config, const std::string& config_path, FileSystem* fs,
                            std::vector<int64_t>* samples) {
  const DataConfig& data = config.data();
  std::vector<std::shared_ptr<const data::SampleSource>> parts;
  for (const MixturePart& part : data.mixture()) {
    ASSIGN_OR_RETURN(auto source, OpenSource(config, part.train(), /*augment=*/true, config_path, fs));
    parts.push_back(std::move(source));
  }
  if (parts.empty()) {
    ASSIGN_OR_RETURN(auto source, OpenSource(config, data.train(), /*augment=*/true, config_path, fs));
    parts.push_back(std::move(source));
  }
  for (const auto& part : parts) samples->push_back(part->size());
  if (parts.size() == 1) return parts[0];
  return data::MakeJoinedSource(std::move(parts));
}

namespace {

// The fields of the model: its input and its label, whatever their order, and the rest.
void DescribeInputs(const DataConfig& config, const std::vector<data::InputSpec>& inputs,
                    nn::DataSpec* spec) {
  const std::string label = config.has_label() ? config.label().feature() : inputs[1].name;
  const std::string input = config.has_input() ? config.input().feature() : inputs[0].name;
  for (const data::InputSpec& field : inputs) {
    if (field.name == input && spec->input.name.empty()) {
      spec->input = {field.name, field.type};
    } else if (field.name == label && spec->label.name.empty()) {
      spec->label = {field.name, field.type};
    } else {
      spec->extra.push_back({field.name, field.type});
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Feed>> Feed::Open(const RunConfig& config, const std::string& config_path,
                                                 FileSystem* local) {
  data::RemoteFileSystem remote(local, RemoteOf(config));
  FileSystem* fs = &remote;
  auto feed = std::unique_ptr<Feed>(new Feed());
  const DataConfig& data = config.data();
  std::vector<int64_t> samples;  // of each part of a mixture
  ASSIGN_OR_RETURN(auto source, feed->OpenTraining(config, config_path, fs, &samples));
  ASSIGN_OR_RETURN(data::Order order, OrderOf(config, samples));
  DataFacts& facts = feed->facts_;
  facts.records = source->size();
  facts.epoch = order.positions();
  facts.fingerprint = source->fingerprint();
  DescribeInputs(data, source->inputs(), &facts.spec);
  if (data.text().packed()) facts.spec.mask = "targets.mask";
  facts.spec.mixed = data.image().train().has_mixup() || data.image().train().has_cutmix();
  if (data.has_columns()) facts.spec.tables = TablesOf(feed->columns_);
  facts.spec.classes = data.has_synthetic() ? data.synthetic().classes() : data.label().classes();
  if (Vocabulary(data) > 0) facts.spec.vocabulary = facts.spec.classes = Vocabulary(data);
  const data::BatchPlan plan{config.global_batch(), config.lanes(), config.accumulate()};
  RETURN_IF_ERROR(plan.Check());
  feed->marked_ = std::make_shared<MarkedSource>(source, plan);
  const data::DamagePolicy damage = DamagePolicyOf(config);
  feed->batcher_ = std::make_shared<data::Batcher>(feed->marked_, std::move(order), plan, damage);
  if (!config.has_eval()) return feed;

  ASSIGN_OR_RETURN(auto held_out, feed->OpenSource(config, data.eval(), /*augment=*/false, config_path, fs));
  facts.eval_records = held_out->size();
  if (config.eval().max_records() > 0) {
    facts.eval_records = std::min<int64_t>(facts.eval_records, config.eval().max_records());
  }
  RETURN_IF_ERROR(DropLastChunk(config.eval(), plan.micro_batch(), &facts.eval_records));
  facts.eval_fingerprint = held_out->fingerprint();
  facts.eval_bytes_per_target = held_out->BytesPerTarget(facts.eval_records);
  feed->eval_plan_ = {facts.eval_records, plan.micro_batch()};
  const data::Order in_order(data::OrderKind::kSequential, 0, held_out->size());
  feed->eval_batcher_ = std::make_shared<data::Batcher>(held_out, in_order, plan, EvalDamagePolicy(damage));
  return feed;
}

absl::Status Feed::Start(const FeedOptions& options, const std::vector<std::string>& inputs,
                         int64_t first_step) {
  std::vector<std::string> known;
  for (const auto& spec : batcher_->source().inputs()) known.push_back(spec.name);
  places_.clear();
  for (const std::string& name : inputs) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      return ConfigError(absl::StrCat("the model asks for the input '", name,
                                      "', which the data does not have", Suggestion(name, known)));
    }
    places_.push_back(static_cast<int>(found - known.begin()));
  }
  Pause();
  owned_ = options.owned;
  leases_.resize(options.threads);
  eval_batches_.resize(options.threads);
  if (prefetcher_ == nullptr) {
    data::PrefetcherOptions prefetcher;
    prefetcher.threads = std::max(1, options.threads);
    prefetcher.depth_steps = std::max(1, options.read_ahead_steps);
    prefetcher_ = std::make_unique<data::Prefetcher>(batcher_, prefetcher);
  }
  prefetcher_->Start(first_step, options.owned.begin, options.owned.end);
  return absl::OkStatus();
}

void Feed::Pause() { leases_.clear(); }

absl::Status Feed::Fetch(int64_t step, int lane, int micro, int thread, LaneBatch* out) {
  const Busy::Scope waiting(busy_);
  leases_[thread] = data::BatchLease();  // back to the prefetcher before the next one is taken
  ASSIGN_OR_RETURN(leases_[thread], prefetcher_->Take(step, lane, micro));
  Note(leases_[thread]->damaged(), &damage_);
  Hand(*leases_[thread], out);
  return absl::OkStatus();
}

double Feed::TakeWaitSeconds() {
  return prefetcher_->TakeWaitSeconds() / static_cast<double>(std::max<size_t>(1, leases_.size()));
}

void Feed::RecordIds(int64_t step, std::vector<int64_t>* ids) const {
  ids->resize(batcher_->plan().global_batch);
  batcher_->SamplesOfStep(step, absl::MakeSpan(*ids));
}

std::string Feed::DescribeRecords(const WorkMark& mark) const {
  constexpr int64_t kShown = 16;
  const data::BatchPlan& plan = batcher_->plan();
  std::vector<int64_t> ids;
  RecordIds(mark.step - 1, &ids);
  const int64_t of_lane = plan.global_batch / plan.lanes;
  int64_t begin = mark.lane * of_lane, end = begin + of_lane;
  if (mark.stage == WorkStage::kDecode) {  // just the one in hand
    begin = mark.item % plan.global_batch;
    end = begin + 1;
  }
  if (mark.step < 1 || begin < 0 || end > static_cast<int64_t>(ids.size())) return "no records of this run";
  std::string text;
  for (int64_t i = begin; i < std::min(end, begin + kShown); ++i) {
    absl::StrAppend(&text, i == begin ? "" : "; ",
                    ids[i] < 0 ? "(none: the batch is filled up)" : batcher_->source().Describe(ids[i]));
  }
  if (end - begin > kShown) absl::StrAppend(&text, " and ", end - begin - kShown, " more");
  return text;
}

absl::Status Feed::FetchEval(int64_t chunk, int thread, LaneBatch* out) {
  const Busy::Scope reading(busy_);
  data::Batch& batch = eval_batches_[thread];
  if (batch.micro_batch() == 0) batch = eval_batcher_->MakeBatch(eval_plan_);
  RETURN_IF_ERROR(eval_batcher_->FillEval(eval_plan_, chunk, &batch));
  Note(batch.damaged(), &eval_damage_);
  out->damaged = static_cast<int64_t>(batch.damaged().size());
  Hand(batch, out);
  return absl::OkStatus();
}

void Feed::Hand(const data::Batch& batch, LaneBatch* out) const {
  out->inputs.clear();
  for (const int place : places_) out->inputs.push_back(batch.input(place));
  out->weights = batch.weights();
  out->positions = batch.positions();
}

}  // namespace lockstep::train
