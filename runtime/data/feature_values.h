// All values of one feature of a record, as they are stored.
#ifndef LOCKSTEP_RUNTIME_DATA_FEATURE_VALUES_H_
#define LOCKSTEP_RUNTIME_DATA_FEATURE_VALUES_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/data/feature_decoder.h"

namespace lockstep::data {

// Reused from record to record, so that it seldom allocates; what it holds is bounded by `limit`, and by the
// record's own size. Strings are views into the record. Not thread-safe.
struct FeatureValues {
  size_t limit = std::numeric_limits<size_t>::max();  // of values that are kept; more are only counted
  FeatureKind kind = FeatureKind::kNone;
  size_t count = 0;                        // of values that were found
  std::vector<absl::string_view> strings;  // one of the three has values
  std::vector<float> floats;
  std::vector<int64_t> integers;

  void Clear();
  // Adds a Feature by the rules of FeatureDecoder: of a map entry, or on its own with `depth` messages around
  // it. False where it is no wire format.
  bool ReadEntry(absl::string_view entry);
  bool ReadFeature(absl::string_view feature, int depth);
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_FEATURE_VALUES_H_
