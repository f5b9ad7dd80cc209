// Which elements of the optimizer's state a rank owns (ZeRO-1: Rajbhandari et al., arXiv:1910.02054). Pure.
//
// Every bucket of gradients is cut into one part a rank, so that its reduce-scatter loads all ranks alike; what a
// rank owns are its parts of all buckets. Cuts are made only where a norm chunk of a tensor begins
// (kernels/optimizer.h), so that each chunk's sum of squares is made by one rank, of the same elements as ever:
// that keeps the norm's bits.
#ifndef LOCKSTEP_RUNTIME_TRAIN_SHARD_PLAN_H_
#define LOCKSTEP_RUNTIME_TRAIN_SHARD_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "runtime/graph/parameter_layout.h"
#include "runtime/train/bucket_plan.h"

namespace lockstep::train {

// Elements begin .. end-1 of the flat buffers of a parameter layout.
struct ElementRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  friend bool operator==(ElementRange a, ElementRange b) { return a.begin == b.begin && a.end == b.end; }
};
using ElementRanges = std::vector<ElementRange>;  // ascending, without overlap, none empty

// Shards of a world of `ranks`. The same on all ranks, since it depends on the recipe, the buckets and W alone.
class ShardPlan {
 public:
  // `buckets` as by PlanBuckets over the layout; a tail of side results belongs to nobody.
  ShardPlan(const graph::ParameterLayout& layout, absl::Span<const Bucket> buckets, int ranks);

  int ranks() const { return ranks_; }
  int buckets() const { return static_cast<int>(cuts_.size()); }  // of parameters
  ElementRange Whole(int bucket) const { return {cuts_[bucket].front(), cuts_[bucket].back()}; }
  // Of a bucket, padding included; may be empty.
  ElementRange Part(int bucket, int rank) const { return {cuts_[bucket][rank], cuts_[bucket][rank + 1]}; }
  std::vector<size_t> Counts(int bucket) const;  // elements of each rank's part

  ElementRanges Owned(int rank) const;
  // What it owns and, with `mirrored`, also what the rank before it owns: those ranges stay apart.
  ElementRanges Held(int rank, bool mirrored) const;

 private:
  int ranks_;
  std::vector<std::vector<int64_t>> cuts_;  // by bucket: ranks + 1 of them
};

// The rank that also keeps what `rank` owns, and the one whose shard `rank` also keeps.
inline int MirrorOf(int rank, int ranks) { return (rank + 1) % ranks; }
inline int MirroredBy(int rank, int ranks) { return (rank + ranks - 1) % ranks; }

// Where an element of the flat layout is in a buffer that holds some ranges of it, one after another.
class HeldRanges {
 public:
  HeldRanges() = default;
  explicit HeldRanges(ElementRanges ranges);

  const ElementRanges& ranges() const { return ranges_; }
  int64_t elements() const { return elements_; }
  // Requires that `element` is held; the rest of its range follows it.
  int64_t PlaceOf(int64_t element) const;

 private:
  ElementRanges ranges_;
  std::vector<int64_t> places_;  // by range
  int64_t elements_ = 0;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_SHARD_PLAN_H_
