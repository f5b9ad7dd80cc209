#include "runtime/data/read/coalesce.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace lockstep::data {

ReadPlan Coalesce(absl::Span<const Place> wanted, uint64_t gap_bytes, uint64_t most_bytes) {
  std::vector<int> by_offset(wanted.size());
  std::iota(by_offset.begin(), by_offset.end(), 0);
  std::sort(by_offset.begin(), by_offset.end(), [&](int a, int b) {
    return std::tie(wanted[a].file, wanted[a].offset, a) < std::tie(wanted[b].file, wanted[b].offset, b);
  });
  std::vector<Place> merged;
  std::vector<int> first_needed, merged_of(wanted.size());
  for (const int i : by_offset) {
    const Place& place = wanted[i];
    Place* last = merged.empty() ? nullptr : &merged.back();
    const bool joins = last != nullptr && last->file == place.file &&
                       place.offset <= last->end() + gap_bytes &&
                       (place.end() <= last->end() || place.end() - last->offset <= most_bytes);
    if (joins) {
      last->size_bytes = std::max(last->end(), place.end()) - last->offset;
      first_needed.back() = std::min(first_needed.back(), i);
    } else {
      merged.push_back(place);
      first_needed.push_back(i);
    }
    merged_of[i] = static_cast<int>(merged.size()) - 1;
  }
  std::vector<int> in_order(merged.size()), place_of(merged.size());
  std::iota(in_order.begin(), in_order.end(), 0);
  std::sort(in_order.begin(), in_order.end(),
            [&](int a, int b) { return first_needed[a] < first_needed[b]; });
  ReadPlan plan;
  for (size_t k = 0; k < in_order.size(); ++k) {
    place_of[in_order[k]] = static_cast<int>(k);
    plan.reads.push_back(merged[in_order[k]]);
  }
  for (const int read : merged_of) plan.read_of.push_back(place_of[read]);
  return plan;
}

}  // namespace lockstep::data
