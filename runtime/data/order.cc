#include "runtime/data/order.h"

#include <algorithm>
#include <numeric>

#include "absl/container/inlined_vector.h"
#include "runtime/core/rng.h"

namespace lockstep::data {
namespace {

constexpr int64_t kPadding = -1;

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
  for (const OrderPart& part : parts) {
    positions_ += part.samples;
    weights += part.weight;
  }
  if (parts.size() == 1) positions_ = EpochPositions(parts[0].samples, options);
  const uint64_t key = DeriveKey(options.seed, "data/order");
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t epoch = parts.size() == 1 ? positions_ : parts[i].samples;
    parts_.push_back({parts[i].samples, parts[i].weight, weights, first_id, i == 0 ? key : Mix64(key + i),
                      Divider(static_cast<uint64_t>(epoch))});
    first_id += parts[i].samples;
    weights -= parts[i].weight;
  }
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

// `place`: in, position mod positions_; out, the place within its epoch at which `position` reads. Returns for
// how many positions, up to `most`, the next ones read the next places of the same epoch.
//
// Below position x lane r has had  f(x) = x / B * share + clamp(x mod B - r * share, 0, share)  positions,
// and the lanes before it  g(x) = x / B * r * share + min(x mod B, r * share).
int64_t Order::PlacesAt(int64_t position, int64_t most, int64_t* place) const {
  const int64_t epoch_begin = position - *place;
  const int64_t count = std::min(most, positions_ - *place);
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

void Order::EpochAt(const Part& part, int64_t epoch, int64_t place, absl::Span<int64_t> out,
                    Memo::Part* memo) const {
  const auto real =
      static_cast<size_t>(std::clamp<int64_t>(part.samples - place, 0, static_cast<int64_t>(out.size())));
  std::fill(out.begin() + static_cast<int64_t>(real), out.end(), kPadding);
  out = out.subspan(0, real);
  if (out.empty()) return;
  if (memo->epoch != epoch) *memo = {.epoch = epoch, .permutation = {}, .blocks = {}, .window = {}};
  switch (options_.kind) {
    case OrderKind::kSequential:
      std::iota(out.begin(), out.end(), place);
      return;
    case OrderKind::kShuffle:
      if (!memo->permutation)
        memo->permutation = Permutation::Keyed(part.key, static_cast<uint64_t>(epoch), 0, part.samples);
      std::iota(out.begin(), out.end(), place);
      memo->permutation->Apply(out);
      return;
    case OrderKind::kBlockShuffle:
      if (!memo->blocks) memo->blocks.emplace(part.key, epoch, part.samples, options_.blocks);
      memo->blocks->SamplesAt(place, out, &memo->window);
      return;
  }
}

void Order::StreamAt(const Part& part, int64_t first, absl::Span<int64_t> out, Memo::Part* memo) const {
  const bool alone = parts_.size() == 1;
  const auto count = static_cast<int64_t>(out.size());
  for (int64_t done = 0; done < count;) {
    const int64_t position = first + done;
    uint64_t rest = 0;
    const auto epoch = static_cast<int64_t>(part.epoch.Divide(static_cast<uint64_t>(position), &rest));
    auto place = static_cast<int64_t>(rest);
    const int64_t here =
        alone ? PlacesAt(position, count - done, &place) : std::min(count - done, part.samples - place);
    EpochAt(part, epoch, place, out.subspan(done, here), memo);
    done += here;
  }
}

// Part i stands at a position of its level where  floor((p + 1) w / V)  is one more than  floor(p w / V).
void Order::MixAt(int64_t first, absl::Span<int64_t> out, Memo* memo) const {
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
    StreamAt(parts_[at], levels[at].taken, absl::MakeSpan(samples), &memo->parts_[at]);
    for (size_t i = 0; i < samples.size(); ++i) out[places[at][i]] = parts_[at].first_id + samples[i];
  }
}

void Order::SamplesAt(int64_t first, absl::Span<int64_t> out, Memo* memo) const {
  memo->parts_.resize(parts_.size());
  if (parts_.size() == 1) return StreamAt(parts_[0], first, out, &memo->parts_[0]);
  MixAt(first, out, memo);
}

void Order::SamplesAt(int64_t first, absl::Span<int64_t> out) const {
  Memo memo;
  SamplesAt(first, out, &memo);
}

int64_t Order::SampleAt(int64_t position) const {
  int64_t sample = 0;
  SamplesAt(position, absl::MakeSpan(&sample, 1));
  return sample;
}

}  // namespace lockstep::data
