#include "runtime/data/block_shuffle.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/rng.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;

constexpr uint64_t kKey = 0x5eed;

std::vector<int64_t> Whole(int64_t epoch, int64_t samples, const BlockShape& shape, uint64_t key = kKey) {
  std::vector<int64_t> out(static_cast<size_t>(samples));
  BlockShuffle::Memo memo;
  BlockShuffle(key, epoch, samples, shape).SamplesAt(0, absl::MakeSpan(out), &memo);
  return out;
}

// The definition, written with lists: blocks in permuted order, cut into windows, each permuted.
std::vector<int64_t> ByDefinition(int64_t epoch, int64_t samples, const BlockShape& shape) {
  const int64_t block = std::min(shape.block, samples), blocks = (samples + block - 1) / block;
  const int64_t window = std::min(shape.window, blocks);
  const auto unsigned_epoch = static_cast<uint64_t>(epoch);
  const Permutation order = Permutation::Keyed(Mix64(kKey), unsigned_epoch, 0, blocks);
  std::vector<int64_t> out;
  for (int64_t first = 0; first < blocks; first += window) {
    std::vector<int64_t> mixed;
    for (int64_t slot = first; slot < std::min(first + window, blocks); ++slot) {
      const int64_t begin = order(slot) * block;
      for (int64_t i = begin; i < std::min(begin + block, samples); ++i) mixed.push_back(i);
    }
    const auto size = static_cast<int64_t>(mixed.size());
    const Permutation inside =
        Permutation::Keyed(Mix64(kKey ^ 1), unsigned_epoch, static_cast<uint64_t>(first), size);
    for (int64_t i = 0; i < size; ++i) out.push_back(mixed[inside(i)]);
  }
  return out;
}

TEST(BlockShuffleTest, IsWhatTheDefinitionSays) {
  for (int64_t samples = 1; samples <= 130; ++samples) {
    for (const int64_t block : {1, 2, 3, 7, 16, 64, 1000}) {
      for (const int64_t window : {1, 2, 3, 8, 1000}) {
        for (const int64_t epoch : {0, 3}) {
          ASSERT_EQ(Whole(epoch, samples, {block, window}), ByDefinition(epoch, samples, {block, window}))
              << samples << " samples, blocks of " << block << ", windows of " << window;
        }
      }
    }
  }
}

TEST(BlockShuffleTest, EverySampleOnceAnEpoch) {
  for (const int64_t samples : {1023, 1024, 1025, 4099, 65537}) {
    for (const BlockShape& shape : {BlockShape{64, 8}, {1000, 3}, {1, 100}, {7, 1 << 20}}) {
      std::vector<int64_t> all = Whole(2, samples, shape);
      std::sort(all.begin(), all.end());
      for (int64_t i = 0; i < samples; ++i) ASSERT_EQ(all[i], i) << samples << " " << shape.block;
    }
  }
}

TEST(BlockShuffleTest, AnyCutGivesTheSameSamples) {
  const BlockShuffle order(kKey, 5, 1000, {7, 5});
  const std::vector<int64_t> all = Whole(5, 1000, {7, 5});
  BlockShuffle::Memo memo;
  for (const int64_t length : {1, 2, 33, 36, 500}) {
    for (int64_t first = 0; first + length <= 1000; first += length) {
      std::vector<int64_t> part(static_cast<size_t>(length));
      order.SamplesAt(first, absl::MakeSpan(part), &memo);
      ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + first)) << first << " " << length;
    }
  }
}

TEST(BlockShuffleTest, WhileAWindowLastsOnlyItsBlocksAreRead) {
  constexpr int64_t kBlock = 10, kWindow = 4;
  const std::vector<int64_t> all = Whole(0, 1203, {kBlock, kWindow});
  std::set<int64_t> blocks;
  size_t most = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i % (kBlock * kWindow) == 0) blocks.clear();
    blocks.insert(all[i] / kBlock);
    most = std::max(most, blocks.size());
  }
  EXPECT_LE(most, 2u * kWindow);  // behind the short block windows begin off these marks
  EXPECT_GE(most, static_cast<size_t>(kWindow));
}

TEST(BlockShuffleTest, EpochsAndKeysDiffer) {
  EXPECT_NE(Whole(0, 500, {10, 5}), Whole(1, 500, {10, 5}));
  EXPECT_NE(Whole(0, 500, {10, 5}), Whole(0, 500, {10, 5}, kKey + 1));
}

// One window over everything is as good as a global shuffle: every place receives every sample equally often.
TEST(BlockShuffleTest, OneWindowMixesEverything) {
  constexpr int64_t kSamples = 24, kEpochs = 200 * kSamples;
  std::vector<int64_t> counts(kSamples * kSamples);
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const std::vector<int64_t> all = Whole(epoch, kSamples, {5, 100});
    for (int64_t i = 0; i < kSamples; ++i) ++counts[i * kSamples + all[i]];
  }
  double chi2 = 0;
  const double expected = static_cast<double>(kEpochs) / kSamples, freedom = kSamples * kSamples - 1;
  for (const int64_t count : counts) {
    const double off = static_cast<double>(count) - expected;
    chi2 += off * off / expected;
  }
  EXPECT_LT(std::abs(chi2 - freedom) / std::sqrt(2 * freedom), 5);
}

// From scripts/golden/make_order.py.
TEST(BlockShuffleTest, GoldenValues) {
  EXPECT_THAT(Whole(0, 10, {3, 2}, DeriveKey(0, "data/order")), ElementsAre(1, 5, 4, 3, 0, 2, 6, 9, 8, 7));
  EXPECT_THAT(Whole(4, 10, {3, 2}, DeriveKey(1, "data/order")), ElementsAre(6, 8, 2, 7, 0, 1, 9, 4, 3, 5));
  const BlockShuffle large(DeriveKey(42, "data/order"), 3, 1000000000000, {1 << 20, 1000});
  std::vector<int64_t> out(1);
  BlockShuffle::Memo memo;
  large.SamplesAt(0, absl::MakeSpan(out), &memo);
  EXPECT_EQ(out[0], 885030704093);
  large.SamplesAt(999999999999, absl::MakeSpan(out), &memo);
  EXPECT_EQ(out[0], 357324930936);
}

}  // namespace
}  // namespace lockstep::data
