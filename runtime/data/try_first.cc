#include "runtime/data/try_first.h"

#include <algorithm>
#include <vector>

#include "runtime/core/aligned_buffer.h"
#include "runtime/data/record_errors.h"

namespace lockstep::data {

absl::Status TryFirst(const SampleSource& source) {
  constexpr int64_t kMost = 100;
  std::vector<AlignedBytes> buffers;
  std::vector<std::byte*> outputs;
  for (const InputSpec& input : source.inputs()) {
    buffers.emplace_back(input.type.size_bytes());
    outputs.push_back(buffers.back().data());
  }
  absl::Status tried;
  for (int64_t sample = 0; sample < std::min(kMost, source.size()); ++sample) {
    tried = source.Decode(sample, outputs);
    if (!DamageOf(tried)) break;
  }
  return tried;
}

}  // namespace lockstep::data
