// What data.order, data.mixture, data.filter, data.damaged and data.text.packed may say.
#include "absl/strings/str_cat.h"
#include "runtime/train/config_checks.h"

namespace lockstep::train {
namespace {

absl::Status CheckBlocks(const RunConfig& config) {
  const DataConfig& data = config.data();
  if (data.order() != BLOCK_SHUFFLE) {
    if (!data.has_block_shuffle()) return absl::OkStatus();
    return Wrong("data.block_shuffle",
                 absl::StrCat("goes with order: BLOCK_SHUFFLE, not with ", Order_Name(data.order())));
  }
  const BlockShuffle& blocks = data.block_shuffle();
  RETURN_IF_ERROR(AtLeast("data.block_shuffle.records", static_cast<double>(blocks.records()), 1));
  RETURN_IF_ERROR(AtLeast("data.block_shuffle.window", static_cast<double>(blocks.window()), 1));
  RETURN_IF_ERROR(AtLeast("data.block_shuffle.reading_lanes", blocks.reading_lanes(), 1));
  if (config.lanes() % blocks.reading_lanes() != 0) {
    return Wrong("data.block_shuffle.reading_lanes",
                 absl::StrCat(blocks.reading_lanes(), " does not divide lanes: ", config.lanes()));
  }
  return absl::OkStatus();
}

absl::Status CheckMixture(const DataConfig& data) {
  if (data.mixture_size() == 0) return absl::OkStatus();
  if (data.has_train()) return Wrong("data.mixture", "takes the place of data.train; leave that out");
  if (data.has_synthetic()) return Wrong("data.mixture", "does not go with data.synthetic");
  if (data.columns().has_statistics()) {
    return Wrong("data.mixture",
                 "does not go with data.columns.statistics, which are those of one set of records");
  }
  int64_t weights = 0;
  for (int i = 0; i < data.mixture_size(); ++i) {
    const std::string at = absl::StrCat("data.mixture[", i, "]");
    RETURN_IF_ERROR(Needed(at + ".train", !data.mixture(i).train().empty()));
    RETURN_IF_ERROR(AtLeast(at + ".weight", data.mixture(i).weight(), 1));
    weights += data.mixture(i).weight();
  }
  if (weights > (int64_t{1} << 31)) return Wrong("data.mixture", "the weights are more than 2^31 together");
  if (data.block_shuffle().reading_lanes() > 1)
    return Wrong("data.block_shuffle.reading_lanes", "does not go with data.mixture");
  if (data.last_batch() != DataConfig::STRADDLE) {
    return Wrong("data.last_batch",
                 "does not go with data.mixture, whose parts end their epochs at different times");
  }
  return absl::OkStatus();
}

absl::Status CheckFilter(const DataConfig& data) {
  for (int i = 0; i < data.filter_size(); ++i) {
    const RecordFilter& filter = data.filter(i);
    const std::string at = absl::StrCat("data.filter[", i, "]");
    if (data.has_synthetic())
      return Wrong("data.filter", "does not go with data.synthetic, which has no records");
    RETURN_IF_ERROR(Needed(at + ".feature", !filter.feature().empty()));
    const bool counts = filter.has_min_count() || filter.has_max_count();
    if (!filter.has_min() && !filter.has_max() && !counts && filter.value().empty())
      return Wrong(at, "says nothing of the feature: give min, max, value, min_count or max_count");
    if (std::isnan(filter.min()) || std::isnan(filter.max()))
      return Wrong(at, "min and max are numbers, not nan");
    if (filter.has_min() && filter.has_max() && filter.min() > filter.max())
      return Wrong(at + ".min", absl::StrCat(filter.min(), " is above max: ", filter.max()));
    RETURN_IF_ERROR(AtLeast(at + ".min_count", static_cast<double>(filter.min_count()), 0));
    if (filter.has_max_count())
      RETURN_IF_ERROR(AtLeast(at + ".max_count", static_cast<double>(filter.max_count()),
                              static_cast<double>(filter.min_count())));
  }
  return absl::OkStatus();
}

absl::Status CheckDamaged(const DataConfig& data) {
  RETURN_IF_ERROR(AtLeast("data.damaged.most", static_cast<double>(data.damaged().most()), 0));
  if (data.damaged().policy() == DamagedRecords::FAIL) return absl::OkStatus();
  if (data.has_synthetic())
    return Wrong("data.damaged.policy", "does not go with data.synthetic, which has no records");
  if (data.has_text()) {
    return Wrong("data.damaged.policy",
                 "does not go with data.text: its records are joined, so a record that is not there would "
                 "move every window "
                 "behind it; leave damaged records out of the files (lockstep records verify names them)");
  }
  return absl::OkStatus();
}

absl::Status CheckPacked(const TextData& text) {
  if (text.tokenizer().empty() && !text.tokens())
    return Wrong("data.text.packed", "is for tokens: it needs a tokenizer, or tokens: true");
  if (!text.has_stride() || text.stride() == text.length()) return absl::OkStatus();
  return Wrong("data.text.stride", "does not go with packed, whose windows do not overlap");
}

}  // namespace

absl::Status CheckOrder(const RunConfig& config) {
  const DataConfig& data = config.data();
  RETURN_IF_ERROR(CheckBlocks(config));
  RETURN_IF_ERROR(CheckMixture(data));
  if (data.has_synthetic() && data.last_batch() != DataConfig::STRADDLE)
    return Wrong("data.last_batch", "does not go with data.synthetic, every batch of which is the same");
  RETURN_IF_ERROR(CheckFilter(data));
  if (data.text().packed()) RETURN_IF_ERROR(CheckPacked(data.text()));
  RETURN_IF_ERROR(CheckDamaged(data));
  return absl::OkStatus();
}

}  // namespace lockstep::train
