#include "runtime/train/compression/gradient_parts.h"

#include <algorithm>

namespace lockstep::train {

GradientParts SplitGradient(const graph::ParameterLayout& layout, int64_t tail_elements,
                            const std::function<bool(int64_t rows, int64_t columns)>& compresses) {
  GradientParts parts;
  const auto add_whole = [&parts](int64_t begin, int64_t end) {
    parts.whole.push_back({begin, end});
    parts.whole_elements += end - begin;
  };
  for (const auto& entry : layout.entries) {
    const auto offset = static_cast<int64_t>(entry.offset), elements = static_cast<int64_t>(entry.elements);
    const int64_t rows = entry.shape.rank() >= 2 ? entry.shape[0] : 0;
    if (rows > 0 && elements > 0 && compresses(rows, elements / rows)) {
      parts.matrices.push_back(
          {entry.name, entry.shape, offset, parts.matrix_elements, rows, elements / rows});
      parts.matrix_elements += elements;
    } else {
      add_whole(offset, offset + elements);
    }
  }
  const auto total = static_cast<int64_t>(layout.total_elements);
  parts.tail_elements = tail_elements;
  if (tail_elements > 0) add_whole(total, total + tail_elements);
  return parts;
}

void CopyWhole(const GradientParts& parts, const float* gradient, float* packed) {
  for (const GradientRange& range : parts.whole) {
    packed = std::copy(gradient + range.begin, gradient + range.end, packed);
  }
}

void RestoreWhole(const GradientParts& parts, const float* packed, float* gradient) {
  for (const GradientRange& range : parts.whole) {
    std::copy_n(packed, range.size(), gradient + range.begin);
    packed += range.size();
  }
}

}  // namespace lockstep::train
