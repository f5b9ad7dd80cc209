#include "runtime/train/feed_order.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace lockstep::train {
namespace {

data::OrderKind KindOf(Order order) {
  switch (order) {
    case SHUFFLE:
      return data::OrderKind::kShuffle;
    case SEQUENTIAL:
      return data::OrderKind::kSequential;
    case BLOCK_SHUFFLE:
      return data::OrderKind::kBlockShuffle;
  }
  return data::OrderKind::kShuffle;
}

data::LastBatch LastBatchOf(DataConfig::LastBatch last) {
  switch (last) {
    case DataConfig::STRADDLE:
      return data::LastBatch::kStraddle;
    case DataConfig::DROP:
      return data::LastBatch::kDrop;
    case DataConfig::PAD:
      return data::LastBatch::kPad;
  }
  return data::LastBatch::kStraddle;
}

}  // namespace

std::vector<data::RecordCondition> FilterOf(const DataConfig& data) {
  std::vector<data::RecordCondition> conditions;
  for (const RecordFilter& filter : data.filter()) {
    data::RecordCondition& condition = conditions.emplace_back();
    condition.feature = filter.feature();
    if (filter.has_min()) condition.least = filter.min();
    if (filter.has_max()) condition.most = filter.max();
    condition.values = {filter.value().begin(), filter.value().end()};
    condition.least_count = filter.min_count();
    if (filter.has_max_count()) condition.most_count = filter.max_count();
  }
  return conditions;
}

absl::StatusOr<data::Order> OrderOf(const RunConfig& config, const std::vector<int64_t>& samples) {
  const DataConfig& data = config.data();
  data::OrderOptions options;
  options.kind = KindOf(data.order());
  options.seed = config.seed();
  options.blocks = {data.block_shuffle().records(), data.block_shuffle().window()};
  options.reading_lanes = data.block_shuffle().reading_lanes();
  options.global_batch = config.global_batch();
  options.last_batch = LastBatchOf(data.last_batch());
  std::vector<data::OrderPart> parts;
  for (size_t i = 0; i < samples.size(); ++i) {
    const bool mixed = static_cast<int>(i) < data.mixture_size();
    parts.push_back({samples[i], mixed ? data.mixture(static_cast<int>(i)).weight() : 1});
  }
  auto order = data::Order::Create(options, std::move(parts));
  return order.ok() ? std::move(order) : Annotate(order.status(), "data");
}

absl::Status DropLastChunk(const EvalConfig& eval, int64_t micro_batch, int64_t* records) {
  if (eval.last_batch() != EvalConfig::DROP) return absl::OkStatus();
  const int64_t kept = *records - *records % micro_batch;
  if (kept == 0) {
    return ConfigError(absl::StrCat("eval.last_batch: ", *records,
                                    " validation records do not fill one micro-batch of ", micro_batch,
                                    ", so DROP would leave none; use PAD"));
  }
  *records = kept;
  return absl::OkStatus();
}

data::DamagePolicy DamagePolicyOf(const RunConfig& config) {
  using Kind = data::DamagePolicy::Kind;
  data::DamagePolicy policy;
  policy.seed = config.seed();
  if (config.data().damaged().policy() == DamagedRecords::SUBSTITUTE) policy.kind = Kind::kSubstitute;
  if (config.data().damaged().policy() == DamagedRecords::MASK) policy.kind = Kind::kMask;
  return policy;
}

data::DamagePolicy EvalDamagePolicy(data::DamagePolicy training) {
  using Kind = data::DamagePolicy::Kind;
  if (training.kind != Kind::kFail) training.kind = Kind::kMask;
  return training;
}

}  // namespace lockstep::train
