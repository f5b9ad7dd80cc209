#include "runtime/train/compression/largest.h"

#include <array>
#include <bit>
#include <cstddef>

namespace lockstep::train {
namespace {

// Orders as |value| does: without its sign bit, a float compares as its bits.
uint32_t MagnitudeOf(float value) { return std::bit_cast<uint32_t>(value) & 0x7fffffffu; }

// The digits of a magnitude's 31 bits, from the highest.
struct Digit {
  int shift, bits;
};
constexpr Digit kDigits[] = {{20, 11}, {10, 10}, {0, 10}};

}  // namespace

void FindLargest(absl::Span<const float> values, absl::Span<uint32_t> indices) {
  if (indices.empty()) return;
  // The threshold is the magnitude of the last one taken, found digit by digit; `left` counts those that are
  // still to be found among the values that share the digits found so far.
  uint32_t threshold = 0, known = 0;
  size_t left = indices.size();
  for (const Digit digit : kDigits) {
    std::array<size_t, 2048> counts{};
    const uint32_t mask = (1u << digit.bits) - 1;
    for (const float value : values) {
      const uint32_t magnitude = MagnitudeOf(value);
      if ((magnitude & known) == threshold) ++counts[magnitude >> digit.shift & mask];
    }
    uint32_t bin = mask;
    while (bin > 0 && counts[bin] < left) left -= counts[bin--];
    threshold |= bin << digit.shift;
    known |= mask << digit.shift;
  }
  // All above the threshold, and the first `left` at it.
  size_t taken = 0;
  for (size_t i = 0; i < values.size() && taken < indices.size(); ++i) {
    const uint32_t magnitude = MagnitudeOf(values[i]);
    if (magnitude < threshold) continue;
    if (magnitude == threshold) {
      if (left == 0) continue;
      --left;
    }
    indices[taken++] = static_cast<uint32_t>(i);
  }
}

}  // namespace lockstep::train
