#include <algorithm>
#include <cmath>

#include "runtime/data/image/resample.h"

namespace lockstep::data {
namespace {

struct Reach {
  double centre, support;  // the triangle is 1 at its centre and 0 at `support` from it
  int begin, end;          // inputs whose centres may lie inside
};

Reach ReachOf(const Axis& axis, int i) {
  Reach reach;
  reach.centre = axis.start + (i + 0.5) * axis.step;
  reach.support = std::max(1.0, axis.step);
  const double begin = std::floor(reach.centre - reach.support + 0.5);
  const double end = std::floor(reach.centre + reach.support + 0.5);
  reach.begin = static_cast<int>(std::clamp<double>(begin, axis.low, axis.high - 1));
  reach.end = static_cast<int>(std::clamp<double>(end, reach.begin + 1, axis.high));
  return reach;
}

}  // namespace

void TouchedBy(const Axis& axis, int* begin, int* end) {
  *begin = ReachOf(axis, 0).begin;
  *end = ReachOf(axis, axis.size - 1).end;
}

void Taps::Compute(const Axis& axis) {
  most = 1;
  first.resize(static_cast<size_t>(axis.size));
  count.resize(static_cast<size_t>(axis.size));
  for (int i = 0; i < axis.size; ++i) {
    const Reach reach = ReachOf(axis, i);
    first[i] = reach.begin;
    count[i] = reach.end - reach.begin;
    most = std::max(most, count[i]);
  }
  weights.assign(static_cast<size_t>(axis.size) * static_cast<size_t>(most), 0.0f);
  for (int i = 0; i < axis.size; ++i) {
    const Reach reach = ReachOf(axis, i);
    const auto weight = [&](int k) {
      return std::max(0.0, 1 - std::abs(first[i] + k + 0.5 - reach.centre) / reach.support);
    };
    double sum = 0;
    for (int k = 0; k < count[i]; ++k) sum += weight(k);
    float* out = weights.data() + static_cast<size_t>(i) * static_cast<size_t>(most);
    for (int k = 0; k < count[i]; ++k) out[k] = static_cast<float>(sum > 0 ? weight(k) / sum : k == 0);
  }
}

void Taps::Mirror() {
  const size_t size = first.size(), width = static_cast<size_t>(most);
  std::reverse(first.begin(), first.end());
  std::reverse(count.begin(), count.end());
  for (size_t i = 0; i < size / 2; ++i) {
    std::swap_ranges(weights.begin() + i * width, weights.begin() + (i + 1) * width,
                     weights.begin() + (size - 1 - i) * width);
  }
}

}  // namespace lockstep::data
