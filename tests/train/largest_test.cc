#include "runtime/train/compression/largest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace lockstep::train {
namespace {

// By sorting: larger first, NaN above all, of equal ones the lower index.
std::vector<uint32_t> BySorting(const std::vector<float>& values, size_t k) {
  std::vector<uint32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](uint32_t i) {
    return std::isnan(values[i]) ? std::pair(1, 0.0f) : std::pair(0, std::abs(values[i]));
  };
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return key(a) > key(b); });
  order.resize(k);
  std::sort(order.begin(), order.end());
  return order;
}

void ExpectAsBySorting(const std::vector<float>& values, size_t k) {
  std::vector<uint32_t> indices(k, 0xdeadbeef);
  FindLargest(values, absl::MakeSpan(indices));
  EXPECT_EQ(indices, BySorting(values, k)) << k << " of " << values.size();
}

TEST(FindLargest, AgreesWithSorting) {
  std::mt19937 random(1);
  for (const size_t n : {1, 2, 3, 17, 1000, 5000}) {
    std::vector<float> values(n);
    for (float& value : values) {
      value = std::ldexp(static_cast<float>(static_cast<int>(random() % 2001) - 1000),
                         static_cast<int>(random() % 60) - 30);
    }
    for (const size_t k : {size_t{1}, size_t{2}, n / 100, n / 3, n - 1, n}) {
      if (k >= 1 && k <= n) ExpectAsBySorting(values, k);
    }
  }
}

TEST(FindLargest, OfEqualOnesTakesTheFirst) {
  ExpectAsBySorting({1, -1, 1, -1, 1}, 3);
  ExpectAsBySorting({0, 0, -0.0f, 0}, 2);
  ExpectAsBySorting({2, -3, 2, 3, -2, 1, 2}, 4);
  std::mt19937 random(2);
  std::vector<float> values(777);
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 7) - 3);
  for (size_t k = 1; k <= values.size(); k += 31) ExpectAsBySorting(values, k);
}

TEST(FindLargest, KnowsDenormalsInfinityAndNan) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const std::vector<float> values = {1e-44f, -infinity, 3e38f, nan, -2e-45f, 0, infinity};
  for (size_t k = 1; k <= values.size(); ++k) ExpectAsBySorting(values, k);
}

TEST(FindLargest, NoneOfNone) { FindLargest({}, {}); }

}  // namespace
}  // namespace lockstep::train
