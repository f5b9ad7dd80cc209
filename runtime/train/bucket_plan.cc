#include "runtime/train/bucket_plan.h"

#include <cstddef>

namespace lockstep::train {

std::vector<Bucket> PlanBuckets(absl::Span<const int64_t> parameter_ends, int64_t bucket_elements,
                                int64_t tail_elements) {
  std::vector<Bucket> buckets;
  int64_t begin = 0;
  for (size_t i = 0; i < parameter_ends.size(); ++i) {
    const bool last = i + 1 == parameter_ends.size();
    if (!last && parameter_ends[i] - begin < bucket_elements) continue;
    buckets.push_back({begin, parameter_ends[i], static_cast<int>(i)});
    begin = parameter_ends[i];
  }
  if (tail_elements > 0) buckets.push_back({begin, begin + tail_elements, -1});
  return buckets;
}

}  // namespace lockstep::train
