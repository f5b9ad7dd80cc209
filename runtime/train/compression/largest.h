// The k largest elements by magnitude.
#ifndef LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_LARGEST_H_
#define LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_LARGEST_H_

#include <cstdint>

#include "absl/types/span.h"

namespace lockstep::train {

// Writes the indices of the indices.size() largest |values|, ascending. Of equal magnitudes the lower indices
// come first; NaN is larger than infinity. At most values.size() indices; values.size() below 2^32. A radix
// selection: four passes over the values, whatever they are; no allocation.
void FindLargest(absl::Span<const float> values, absl::Span<uint32_t> indices);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_LARGEST_H_
