#include "runtime/data/order.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "absl/container/inlined_vector.h"
#include "runtime/core/rng.h"

namespace lockstep::data {
namespace {

constexpr int64_t kPadding = -1;

// One epoch of one data set: places to samples, with the keys of the epoch before kept while it is the same.
class EpochOrder {
 public:
  EpochOrder(const OrderOptions& options, uint64_t key, int64_t samples)
      : options_(options), key_(key), samples_(samples) {}

  void SamplesAt(int64_t epoch, int64_t first, absl::Span<int64_t> out) {
    const auto real =
        static_cast<size_t>(std::clamp<int64_t>(samples_ - first, 0, static_cast<int64_t>(out.size())));
    std::fill(out.begin() + static_cast<int64_t>(real), out.end(), kPadding);
    if (real > 0) Real(epoch, first, out.subspan(0, real));
  }

 private:
  void Real(int64_t epoch, int64_t first, absl::Span<int64_t> out) {
    if (options_.kind == OrderKind::kSequential) {
      std::iota(out.begin(), out.end(), first);
    } else if (options_.kind == OrderKind::kShuffle) {
      if (!permutation_ || epoch_ != epoch) {
        permutation_ = Permutation::Keyed(key_, static_cast<uint64_t>(epoch), 0, samples_);
      }
      std::iota(out.begin(), out.end(), first);
      permutation_->Apply(out);
    } else {
      if (!blocks_ || epoch_ != epoch) blocks_.emplace(key_, epoch, samples_, options_.blocks);
      blocks_->SamplesAt(first, out);
    }
    epoch_ = epoch;
  }

  const OrderOptions& options_;
  const uint64_t key_;
  const int64_t samples_;
  int64_t epoch_ = -1;
  std::optional<Permutation> permutation_;
  std::optional<BlockShuffle> blocks_;
};

int64_t EpochPositions(int64_t samples, const OrderOptions& options) {
  const int64_t batch = options.global_batch, rest = samples % batch;
  if (rest == 0 || options.last_batch == LastBatch::kStraddle) return samples;
  return options.last_batch == LastBatch::kPad ? samples - rest + batch : samples - rest;
}

}  // namespace

Order::Order(OrderKind kind, uint64_t seed, int64_t samples)
    : Order(OrderOptions{.kind = kind, .seed = seed}, {{samples, 1}}) {}

Order::Order(const OrderOptions& options, std::vector<OrderPart> parts) : options_(options) {
  int64_t first_id = 0, weights = 0;
  for (const OrderPart& part : parts) weights += part.weight;
  for (size_t i = 0; i < parts.size(); ++i) {
    const uint64_t key = DeriveKey(options.seed, "data/order");
    parts_.push_back({parts[i].samples, parts[i].weight, weights, first_id, i == 0 ? key : Mix64(key + i)});
    first_id += parts[i].samples;
    weights -= parts[i].weight;
  }
  positions_ = parts_.size() == 1 ? EpochPositions(first_id, options) : first_id;
}

absl::StatusOr<Order> Order::Create(const OrderOptions& options, std::vector<OrderPart> parts) {
  constexpr int64_t kMost = int64_t{1} << 61, kMostWeight = int64_t{1} << 31;
  if (parts.empty()) return ConfigError("an order needs at least one data set");
  int64_t samples = 0, weights = 0;
  for (const OrderPart& part : parts) {
    if (part.samples < 1 || part.samples > kMost - samples)
      return ConfigError(absl::StrCat("an order is of 1 to 2^61 samples, not ", part.samples));
    if (part.weight < 1 || part.weight > kMostWeight - weights)
      return ConfigError("the weights of a mixture are at least 1 and together at most 2^31");
    samples += part.samples;
    weights += part.weight;
  }
  if (options.kind == OrderKind::kBlockShuffle && (options.blocks.block < 1 || options.blocks.window < 1))
    return ConfigError("a block shuffle needs blocks and windows of at least 1");
  if (options.reading_lanes < 1 || options.global_batch % options.reading_lanes != 0) {
    return ConfigError(absl::StrCat("global_batch ", options.global_batch, " is not a multiple of ",
                                    options.reading_lanes, " reading lanes"));
  }
  if (parts.size() > 1 && (options.reading_lanes > 1 || options.last_batch != LastBatch::kStraddle)) {
    return ConfigError("a mixture has no epochs of its own, so it has no last batches and no reading lanes");
  }
  if (options.last_batch == LastBatch::kDrop && samples < options.global_batch) {
    return ConfigError(absl::StrCat("there are ", samples, " samples, fewer than global_batch ",
                                    options.global_batch, ": dropping the last batch would leave none"));
  }
  return Order(options, std::move(parts));
}

int64_t Order::samples() const { return parts_.back().first_id + parts_.back().samples; }

std::pair<int64_t, int64_t> Order::BlockOf(int64_t sample) const {
  constexpr int64_t kUsualBlock = 1024;
  const auto after = std::upper_bound(parts_.begin(), parts_.end(), sample,
                                      [](int64_t id, const Part& part) { return id < part.first_id; });
  const Part& part = *(after - 1);
  const int64_t block = options_.kind == OrderKind::kBlockShuffle ? options_.blocks.block : kUsualBlock;
  const int64_t begin = (sample - part.first_id) / block * block;
  return {part.first_id + begin, std::min(block, part.samples - begin)};
}

// The place within its epoch at which `position` reads, and for how many positions, up to `most`, the next
// ones read the next places of the same epoch.
//
// Below position x lane r has had  f(x) = x / B * share + clamp(x mod B - r * share, 0, share)  positions,
// and the lanes before it  g(x) = x / B * r * share + min(x mod B, r * share).
int64_t Order::PlacesAt(int64_t position, int64_t most, int64_t* place) const {
  const int64_t epoch_begin = position / positions_ * positions_;
  *place = position - epoch_begin;
  int64_t count = std::min(most, positions_ - *place);
  if (options_.reading_lanes == 1) return count;
  const int64_t batch = options_.global_batch, share = batch / options_.reading_lanes;
  const int64_t before = position % batch / share * share;  // of a batch, the positions of the lanes before
  const auto of_lane = [&](int64_t x) {
    return x / batch * share + std::clamp<int64_t>(x % batch - before, 0, share);
  };
  const auto of_before = [&](int64_t x) { return x / batch * before + std::min(x % batch, before); };
  *place =
      of_before(epoch_begin + positions_) - of_before(epoch_begin) + of_lane(position) - of_lane(epoch_begin);
  return std::min(count, share - position % share);
}

void Order::StreamAt(const Part& part, int64_t first, absl::Span<int64_t> out) const {
  EpochOrder order(options_, part.key, part.samples);
  const bool alone = parts_.size() == 1;
  const auto count = static_cast<int64_t>(out.size());
  for (int64_t done = 0; done < count;) {
    const int64_t position = first + done, of_epoch = alone ? positions_ : part.samples;
    int64_t place = position % of_epoch;
    const int64_t here =
        alone ? PlacesAt(position, count - done, &place) : std::min(count - done, of_epoch - place);
    order.SamplesAt(position / of_epoch, place, out.subspan(done, here));
    done += here;
  }
}

// Part i stands at a position of its level where  floor((p + 1) w / V)  is one more than  floor(p w / V).
void Order::MixAt(int64_t first, absl::Span<int64_t> out) const {
  struct Level {
    int64_t taken;  // of the part, before the next position
    int64_t debt;   // (position at this level * weight) mod rest
  };
  absl::InlinedVector<Level, 8> levels;
  absl::InlinedVector<absl::InlinedVector<size_t, 64>, 8> places(parts_.size());
  int64_t position = first;
  for (const Part& part : parts_) {
    const int64_t cycle = position / part.rest, within = position % part.rest * part.weight;
    levels.push_back({cycle * part.weight + within / part.rest, within % part.rest});
    position -= levels.back().taken;
  }
  for (size_t i = 0; i < out.size(); ++i) {
    size_t at = 0;
    for (;; ++at) {  // the last part's weight is all that is left, so it takes what comes to it
      levels[at].debt += parts_[at].weight;
      if (levels[at].debt < parts_[at].rest) continue;
      levels[at].debt -= parts_[at].rest;
      break;
    }
    places[at].push_back(i);
  }
  absl::InlinedVector<int64_t, 64> samples;
  for (size_t at = 0; at < parts_.size(); ++at) {
    samples.resize(places[at].size());
    StreamAt(parts_[at], levels[at].taken, absl::MakeSpan(samples));
    for (size_t i = 0; i < samples.size(); ++i) out[places[at][i]] = parts_[at].first_id + samples[i];
  }
}

void Order::SamplesAt(int64_t first, absl::Span<int64_t> out) const {
  if (parts_.size() == 1) return StreamAt(parts_[0], first, out);
  MixAt(first, out);
}

int64_t Order::SampleAt(int64_t position) const {
  int64_t sample = 0;
  SamplesAt(position, absl::MakeSpan(&sample, 1));
  return sample;
}

}  // namespace lockstep::data
