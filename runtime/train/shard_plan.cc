#include "runtime/train/shard_plan.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "kernels/optimizer.h"

namespace lockstep::train {
namespace {

// Where a bucket may be cut: at the beginnings of norm chunks, and at its own ends.
std::vector<int64_t> PlacesToCut(const graph::ParameterLayout& layout, const Bucket& bucket) {
  std::vector<int64_t> places;
  for (const auto& entry : layout.entries) {
    const auto begin = static_cast<int64_t>(entry.offset);
    if (begin < bucket.begin || begin >= bucket.end) continue;
    for (int64_t at = 0; at < static_cast<int64_t>(entry.elements); at += kernels::kNormChunk) {
      places.push_back(begin + at);
    }
  }
  if (places.empty() || places.front() != bucket.begin) places.insert(places.begin(), bucket.begin);
  places.push_back(bucket.end);
  return places;
}

int64_t Nearest(const std::vector<int64_t>& places, int64_t wish) {
  const auto above = std::lower_bound(places.begin(), places.end(), wish);
  if (above == places.begin()) return *above;
  if (above == places.end()) return places.back();
  const int64_t below = *(above - 1);
  return wish - below <= *above - wish ? below : *above;
}

}  // namespace

ShardPlan::ShardPlan(const graph::ParameterLayout& layout, absl::Span<const Bucket> buckets, int ranks)
    : ranks_(ranks) {
  for (const Bucket& bucket : buckets) {
    if (bucket.last_parameter < 0) continue;
    const std::vector<int64_t> places = PlacesToCut(layout, bucket);
    std::vector<int64_t> cuts = {bucket.begin};
    for (int rank = 1; rank < ranks; ++rank) {
      cuts.push_back(Nearest(places, bucket.begin + bucket.size() * rank / ranks));
    }
    cuts.push_back(bucket.end);
    cuts_.push_back(std::move(cuts));
  }
}

std::vector<size_t> ShardPlan::Counts(int bucket) const {
  std::vector<size_t> counts;
  for (int rank = 0; rank < ranks_; ++rank) counts.push_back(static_cast<size_t>(Part(bucket, rank).size()));
  return counts;
}

ElementRanges ShardPlan::Owned(int rank) const { return Held(rank, /*mirrored=*/false); }

ElementRanges ShardPlan::Held(int rank, bool mirrored) const {
  ElementRanges held;
  const auto add = [&](ElementRange part) {
    if (part.size() > 0) held.push_back(part);
  };
  const int other = MirroredBy(rank, ranks_);
  for (int bucket = 0; bucket < buckets(); ++bucket) {
    const bool both = mirrored && other != rank;
    if (both && other < rank) add(Part(bucket, other));
    add(Part(bucket, rank));
    if (both && other > rank) add(Part(bucket, other));
  }
  return held;
}

HeldRanges::HeldRanges(ElementRanges ranges) : ranges_(std::move(ranges)) {
  for (const ElementRange& range : ranges_) {
    places_.push_back(elements_);
    elements_ += range.size();
  }
}

int64_t HeldRanges::PlaceOf(int64_t element) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), element,
                                      [](int64_t at, const ElementRange& range) { return at < range.begin; });
  assert(after != ranges_.begin() && element < (after - 1)->end);
  const size_t index = static_cast<size_t>(after - ranges_.begin()) - 1;
  return places_[index] + element - ranges_[index].begin;
}

}  // namespace lockstep::train
