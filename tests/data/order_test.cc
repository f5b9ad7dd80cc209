#include "runtime/data/order.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/rng.h"

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

TEST(PermutationTest, SeveralAtATimeAreTheSame) {
  for (const int64_t size :
       {int64_t{1}, int64_t{2}, int64_t{5}, int64_t{97}, int64_t{1000000000007}, int64_t{1} << 62}) {
    const Permutation permutation(5, 2, size);
    for (int64_t count = 0; count <= std::min<int64_t>(size, 23); ++count) {
      std::vector<int64_t> images(static_cast<size_t>(count));
      std::iota(images.begin(), images.end(), size - count);
      permutation.Apply(absl::MakeSpan(images));
      for (int64_t i = 0; i < count; ++i) ASSERT_EQ(images[i], permutation(size - count + i)) << size;
    }
  }
}

TEST(DividerTest, DividesExactly) {
  const std::vector<uint64_t> numbers = {0,
                                         1,
                                         2,
                                         3,
                                         7,
                                         63,
                                         64,
                                         65,
                                         1000,
                                         (1u << 31) - 1,
                                         1u << 31,
                                         4294967297,
                                         1000000000007,
                                         (uint64_t{1} << 62) - 1,
                                         uint64_t{1} << 62,
                                         ~uint64_t{0}};
  for (const uint64_t divisor : numbers) {
    if (divisor == 0) continue;
    const Divider divide(divisor);
    for (const uint64_t x : numbers) {
      for (const uint64_t value : {x, x * divisor, x * divisor - 1, x * divisor + divisor - 1}) {
        uint64_t rest = 0;
        ASSERT_EQ(divide.Divide(value, &rest), value / divisor) << value << " / " << divisor;
        ASSERT_EQ(rest, value % divisor);
      }
    }
  }
}

TEST(PermutationTest, InverseGoesBack) {
  for (int64_t size : {1, 2, 3, 10, 97, 1024, 4097}) {
    const Permutation permutation(5, 2, size);
    for (int64_t i = 0; i < size; ++i) ASSERT_EQ(permutation.Inverse(permutation(i)), i) << size;
  }
  const Permutation large(5, 2, 1000000000007);
  for (int64_t i : {int64_t{0}, int64_t{123456789012}, int64_t{1000000000006}})
    EXPECT_EQ(large.Inverse(large(i)), i);
}

std::vector<int64_t> At(const Order& order, int64_t first, int64_t count) {
  std::vector<int64_t> out(static_cast<size_t>(count));
  order.SamplesAt(first, absl::MakeSpan(out));
  return out;
}

TEST(OrderTest, LastBatchesAreDroppedOrFilledUp) {
  OrderOptions options{.kind = OrderKind::kSequential, .global_batch = 4, .last_batch = LastBatch::kDrop};
  const Order drop = *Order::Create(options, {{10, 1}});
  EXPECT_EQ(drop.positions(), 8);
  EXPECT_EQ(drop.samples(), 10);
  EXPECT_THAT(At(drop, 4, 8), ElementsAre(4, 5, 6, 7, 0, 1, 2, 3));
  options.last_batch = LastBatch::kPad;
  const Order pad = *Order::Create(options, {{10, 1}});
  EXPECT_EQ(pad.positions(), 12);
  EXPECT_THAT(At(pad, 7, 8), ElementsAre(7, 8, 9, -1, -1, 0, 1, 2));
  options.kind = OrderKind::kShuffle;  // every epoch leaves out others
  const Order shuffled = *Order::Create(options, {{10, 1}});
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    const std::vector<int64_t> all = At(shuffled, epoch * 12, 12);
    EXPECT_TRUE(IsBijection({all.begin(), all.begin() + 10}));
    EXPECT_EQ(all[10], -1);
    EXPECT_EQ(all[11], -1);
  }
  // Nothing changes where the batch fits.
  EXPECT_EQ((*Order::Create({.global_batch = 5, .last_batch = LastBatch::kPad}, {{10, 1}})).positions(), 10);
}

// Lane by lane, the places of an epoch are read in order from a range of the lane's own, whose length is how
// many positions the lane has in the epoch.
TEST(OrderTest, ReadingLanesReadRangesOfTheirOwn) {
  for (const int64_t batch : {4, 12, 24}) {
    for (const int lanes : {2, 4}) {
      for (const int64_t samples : {1, 3, 10, 97, 240}) {
        const Order order = *Order::Create(
            {.kind = OrderKind::kSequential, .reading_lanes = lanes, .global_batch = batch}, {{samples, 1}});
        const std::vector<int64_t> all = At(order, 0, 5 * samples);
        for (int64_t epoch = 0; epoch < 5; ++epoch) {
          std::vector<std::vector<int64_t>> read(static_cast<size_t>(lanes));
          for (int64_t p = epoch * samples; p < (epoch + 1) * samples; ++p)
            read[p % batch * lanes / batch].push_back(all[p]);
          int64_t next = 0;
          for (const auto& lane : read) {
            for (const int64_t sample : lane)
              ASSERT_EQ(sample, next++) << batch << " " << lanes << " " << samples;
          }
          ASSERT_EQ(next, samples);
        }
      }
    }
  }
}

TEST(OrderTest, ReadingLanesOverBlocksInAnyCut) {
  for (const LastBatch last : {LastBatch::kStraddle, LastBatch::kDrop, LastBatch::kPad}) {
    const Order order = *Order::Create({.kind = OrderKind::kBlockShuffle,
                                        .seed = 3,
                                        .blocks = {8, 3},
                                        .reading_lanes = 4,
                                        .global_batch = 16,
                                        .last_batch = last},
                                       {{205, 1}});
    const std::vector<int64_t> all = At(order, 0, 700);
    for (int64_t first = 0; first < 650; first += 7)
      ASSERT_THAT(At(order, first, 50),
                  testing::ElementsAreArray(all.begin() + first, all.begin() + first + 50));
    std::vector<int64_t> epoch(all.begin(), all.begin() + order.positions());
    EXPECT_EQ(order.positions(), last == LastBatch::kStraddle ? 205 : last == LastBatch::kDrop ? 192 : 208);
    epoch.erase(std::remove(epoch.begin(), epoch.end(), -1), epoch.end());
    std::sort(epoch.begin(), epoch.end());
    EXPECT_EQ(std::unique(epoch.begin(), epoch.end()), epoch.end());
    EXPECT_EQ(epoch.size(), last == LastBatch::kDrop ? 192u : 205u);
  }
}

TEST(MixtureTest, ProportionsAreExactAndEven) {
  const std::vector<OrderPart> parts = {{50, 3}, {7, 1}, {1000, 5}, {20, 2}};
  const std::vector<int64_t> ends = {50, 57, 1057, 1077};
  const Order order = *Order::Create({.kind = OrderKind::kShuffle, .seed = 1}, parts);
  EXPECT_EQ(order.samples(), 1077);
  const std::vector<int64_t> all = At(order, 0, 11 * 400);
  std::vector<int64_t> counts(4);
  for (size_t p = 0; p < all.size(); ++p) {
    ++counts[std::upper_bound(ends.begin(), ends.end(), all[p]) - ends.begin()];
    for (size_t i = 0; i < 4; ++i) {
      const double due = static_cast<double>((p + 1) * parts[i].weight) / 11;
      ASSERT_LT(std::abs(static_cast<double>(counts[i]) - due), 2) << p << " " << i;
      if ((p + 1) % 11 != 0) continue;
      ASSERT_EQ(counts[i], static_cast<int64_t>((p + 1) / 11) * parts[i].weight);
    }
  }
}

TEST(MixtureTest, EachPartGoesThroughItsOwnEpochs) {
  const Order order = *Order::Create({.kind = OrderKind::kShuffle, .seed = 1}, {{6, 2}, {9, 1}});
  std::vector<int64_t> first, second;
  for (const int64_t sample : At(order, 0, 3 * 27)) (sample < 6 ? first : second).push_back(sample);
  ASSERT_EQ(first.size(), 54u);
  ASSERT_EQ(second.size(), 27u);
  for (int64_t epoch = 0; epoch < 9; ++epoch)
    EXPECT_TRUE(IsBijection({first.begin() + 6 * epoch, first.begin() + 6 * epoch + 6}));
  for (int64_t& sample : second) sample -= 6;
  for (int64_t epoch = 0; epoch < 3; ++epoch)
    EXPECT_TRUE(IsBijection({second.begin() + 9 * epoch, second.begin() + 9 * epoch + 9}));
}

TEST(MixtureTest, AnyCutGivesTheSameSamples) {
  const Order order = *Order::Create({.kind = OrderKind::kSequential, .seed = 1}, {{6, 2}, {9, 1}, {4, 4}});
  const std::vector<int64_t> all = At(order, 0, 300);
  for (const int64_t length : {1, 5, 64})
    for (int64_t first = 0; first + length <= 300; ++first)
      ASSERT_THAT(At(order, first, length),
                  testing::ElementsAreArray(all.begin() + first, all.begin() + first + length));
  EXPECT_THAT(At(order, 0, 7), ElementsAre(15, 16, 17, 0, 18, 6, 1));  // as the weights 2, 1, 4 fall due
}

TEST(MixtureTest, EqualPartsHaveOrdersOfTheirOwn) {
  const Order order = *Order::Create({.seed = 1}, {{100, 1}, {100, 1}});
  std::vector<int64_t> first, second;
  for (const int64_t sample : At(order, 0, 200)) (sample < 100 ? first : second).push_back(sample % 100);
  EXPECT_NE(first, second);
}

// Whatever was asked before.
TEST(OrderTest, AMemoChangesNothing) {
  const std::vector<Order> orders = {
      Order(OrderKind::kShuffle, 9, 101), Order(OrderKind::kSequential, 9, 101),
      *Order::Create({.kind = OrderKind::kBlockShuffle, .seed = 3, .blocks = {8, 3}}, {{101, 1}}),
      *Order::Create({.kind = OrderKind::kBlockShuffle,
                      .seed = 3,
                      .blocks = {8, 3},
                      .reading_lanes = 4,
                      .global_batch = 16,
                      .last_batch = LastBatch::kPad},
                     {{101, 1}}),
      *Order::Create({.kind = OrderKind::kBlockShuffle, .seed = 3, .blocks = {4, 2}}, {{60, 2}, {41, 1}})};
  for (const Order& order : orders) {
    const std::vector<int64_t> all = At(order, 0, 1000);
    Order::Memo memo;
    uint64_t state = 1;
    for (int call = 0; call < 400; ++call) {
      const auto first = static_cast<int64_t>((state = Mix64(state)) % 900);
      std::vector<int64_t> some((state = Mix64(state)) % 40);
      order.SamplesAt(call % 3 == 0 ? first : call, absl::MakeSpan(some), &memo);
      ASSERT_TRUE(std::equal(some.begin(), some.end(), all.begin() + (call % 3 == 0 ? first : call))) << call;
    }
  }
}

TEST(OrderTest, WhatDoesNotGoTogetherIsNamed) {
  const auto message = [](const OrderOptions& options, std::vector<OrderPart> parts) {
    return std::string(Order::Create(options, std::move(parts)).status().message());
  };
  using testing::HasSubstr;
  EXPECT_THAT(message({}, {}), HasSubstr("at least one"));
  EXPECT_THAT(message({}, {{0, 1}}), HasSubstr("not 0"));
  EXPECT_THAT(message({}, {{5, 0}}), HasSubstr("weights"));
  EXPECT_THAT(message({.reading_lanes = 3, .global_batch = 8}, {{5, 1}}), HasSubstr("3 reading lanes"));
  EXPECT_THAT(message({.reading_lanes = 2, .global_batch = 8}, {{5, 1}, {5, 1}}), HasSubstr("mixture"));
  EXPECT_THAT(message({.global_batch = 8, .last_batch = LastBatch::kDrop}, {{5, 1}}), HasSubstr("none"));
  EXPECT_THAT(message({.kind = OrderKind::kBlockShuffle, .blocks = {0, 1}}, {{5, 1}}), HasSubstr("blocks"));
}

TEST(OrderTest, OneSample) { EXPECT_EQ(Order(OrderKind::kShuffle, 4, 1).SampleAt(12345), 0); }

}  // namespace
}  // namespace lockstep::data
