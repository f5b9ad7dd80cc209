// Cuts the flat gradient into buckets, in the order in which backward completes it.
#ifndef LOCKSTEP_RUNTIME_TRAIN_BUCKET_PLAN_H_
#define LOCKSTEP_RUNTIME_TRAIN_BUCKET_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace lockstep::train {

// Elements begin .. end-1 of the flat gradient, whole parameters. Complete when parameter `last_parameter`
// is.
struct Bucket {
  int64_t begin = 0;
  int64_t end = 0;
  int last_parameter = 0;  // index in the layout; -1 for the tail (side results), complete when the lane is
  int64_t size() const { return end - begin; }
};

// Pure. `parameter_ends[i]` is where parameter i of the layout ends, padding included (ascending; the layout
// is in the order of completion). Buckets hold at least `bucket_elements` each except the last one, which
// takes what is left; a parameter is never cut. A tail of `tail_elements` after the parameters makes one more
// bucket. The plan depends on the recipe alone, and so does the result on it not at all: a bucket's size
// changes no bit.
std::vector<Bucket> PlanBuckets(absl::Span<const int64_t> parameter_ends, int64_t bucket_elements,
                                int64_t tail_elements);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_BUCKET_PLAN_H_
