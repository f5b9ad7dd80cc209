#include "runtime/data/order.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;

std::vector<int64_t> Whole(uint64_t seed, int64_t epoch, int64_t size) {
  const Permutation permutation(seed, epoch, size);
  std::vector<int64_t> out(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i) out[i] = permutation(i);
  return out;
}

bool IsBijection(const std::vector<int64_t>& image) {
  std::vector<bool> seen(image.size());
  for (int64_t value : image) {
    if (value < 0 || value >= static_cast<int64_t>(image.size()) || seen[value]) return false;
    seen[value] = true;
  }
  return true;
}

TEST(PermutationTest, BijectionForEverySmallSize) {
  for (int64_t size = 1; size <= 600; ++size) {
    for (int64_t epoch = 0; epoch < 3; ++epoch) ASSERT_TRUE(IsBijection(Whole(7, epoch, size))) << size;
  }
}

TEST(PermutationTest, BijectionAroundPowersOfTwoPrimesAndSquares) {
  for (int64_t size : {1023, 1024, 1025, 4095, 4096, 4097, 7919, 10007, 65535, 65536, 65537, 99856, 99857}) {
    ASSERT_TRUE(IsBijection(Whole(1, 5, size))) << size;
  }
}

// The order of a run is a promise: these change only with a new version of everything. From
// scripts/golden/make_order.py.
TEST(PermutationTest, GoldenValues) {
  EXPECT_THAT(Whole(0, 0, 10), ElementsAre(0, 9, 6, 8, 4, 2, 3, 5, 1, 7));
  EXPECT_THAT(Whole(1, 0, 10), ElementsAre(1, 3, 2, 6, 8, 5, 9, 4, 7, 0));
  EXPECT_THAT(Whole(1, 1, 10), ElementsAre(2, 0, 7, 1, 5, 4, 6, 3, 8, 9));
  const Permutation large(42, 3, 1000000000000);
  EXPECT_EQ(large(0), 865914372931);
  EXPECT_EQ(large(999999999999), 296329331191);
}

TEST(PermutationTest, LargestSizeStaysInRange) {
  const int64_t size = int64_t{1} << 62;
  const Permutation permutation(3, 1, size);
  for (int64_t i : {int64_t{0}, int64_t{1}, size / 2, size - 1}) {
    EXPECT_GE(permutation(i), 0);
    EXPECT_LT(permutation(i), size);
  }
}

TEST(PermutationTest, SeedAndEpochAreNotInterchangeable) {
  EXPECT_NE(Whole(1, 2, 100), Whole(2, 1, 100));
  EXPECT_NE(Whole(1, 2, 100), Whole(3, 0, 100));
  EXPECT_NE(Whole(1, 2, 100), Whole(1, 3, 100));
}

// Chi-square of `counts` against equal expectation, in standard deviations from its mean.
double Deviation(const std::vector<int64_t>& counts) {
  const double total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  const double expected = total / static_cast<double>(counts.size()),
               freedom = static_cast<double>(counts.size()) - 1;
  double chi2 = 0;
  for (int64_t count : counts) chi2 += (count - expected) * (count - expected) / expected;
  return (chi2 - freedom) / std::sqrt(2 * freedom);
}

TEST(PermutationTest, EveryPlaceReceivesEverySampleEquallyOften) {
  for (int64_t size : {5, 16, 37, 64}) {
    std::vector<int64_t> counts(static_cast<size_t>(size * size));
    for (int64_t epoch = 0; epoch < 200 * size; ++epoch) {
      const std::vector<int64_t> image = Whole(11, epoch, size);
      for (int64_t i = 0; i < size; ++i) ++counts[i * size + image[i]];
    }
    EXPECT_LT(std::abs(Deviation(counts)), 5) << size;
  }
}

TEST(PermutationTest, NeighboursBecomeUnrelated) {
  constexpr int64_t kSize = 100000, kBins = 100;
  const std::vector<int64_t> image = Whole(5, 0, kSize);
  std::vector<int64_t> distances(kBins), places(kBins * kBins);
  for (int64_t i = 0; i + 1 < kSize; ++i) {
    ++distances[(image[i + 1] - image[i] + kSize) % kSize * kBins / kSize];
    ++places[i * kBins / kSize * kBins + image[i] * kBins / kSize];
  }
  EXPECT_LT(std::abs(Deviation(distances)), 5);
  EXPECT_LT(Deviation(places), 5);
}

TEST(OrderTest, EverySampleOnceAnEpoch) {
  const Order order(OrderKind::kShuffle, 9, 101);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> samples(101);
    order.SamplesAt(epoch * 101, absl::MakeSpan(samples));
    EXPECT_TRUE(IsBijection(samples));
  }
}

TEST(OrderTest, AnyCutGivesTheSameSamples) {
  const Order order(OrderKind::kShuffle, 9, 13);
  std::vector<int64_t> at_once(100);
  order.SamplesAt(5, absl::MakeSpan(at_once));  // straddles epochs
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(order.SampleAt(5 + i), at_once[i]);
}

TEST(OrderTest, Sequential) {
  const Order order(OrderKind::kSequential, 9, 3);
  std::vector<int64_t> samples(7);
  order.SamplesAt(2, absl::MakeSpan(samples));
  EXPECT_THAT(samples, ElementsAre(2, 0, 1, 2, 0, 1, 2));
}

TEST(OrderTest, OneSample) { EXPECT_EQ(Order(OrderKind::kShuffle, 4, 1).SampleAt(12345), 0); }

}  // namespace
}  // namespace lockstep::data
