#include "runtime/data/image/image_mix.h"

#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/rng.h"

namespace lockstep::data {
namespace {

constexpr int kHeight = 6, kWidth = 5, kChannels = 3, kValues = kHeight * kWidth * kChannels;

ImageMixer MixerOf(MixRate mixup, MixRate cutmix, uint64_t seed = 1) {
  return ImageMixer({mixup, cutmix, kHeight, kWidth, kChannels, seed});
}

// A micro-batch of samples at first, first + 1, ..., whose values, labels and weights all differ.
struct MicroBatch {
  explicit MicroBatch(int64_t first, int64_t count) : positions(count), weights(count, 1), labels(count) {
    std::iota(positions.begin(), positions.end(), first);
    std::iota(labels.begin(), labels.end(), 100);
    images.resize(count * kValues);
    FillUniform(static_cast<uint64_t>(first), -1, 1, absl::MakeSpan(images));
    others.resize(count);
    shares.resize(count);
  }
  void Apply(const ImageMixer& mixer) {
    mixer.Apply(positions, weights, images.data(), labels.data(), others.data(), shares.data());
  }
  std::vector<int64_t> positions;
  std::vector<float> weights, images;
  std::vector<int64_t> labels, others;
  std::vector<float> shares;
};

bool InBox(const MixDraw& draw, int value) {
  const int y = value / kChannels / kWidth, x = value / kChannels % kWidth;
  return y >= draw.top && y < draw.bottom && x >= draw.left && x < draw.right;
}

// The definition, from pictures that stay as they were.
void ExpectMixed(const ImageMixer& mixer, const MicroBatch& before, const MicroBatch& after) {
  const auto count = static_cast<int64_t>(before.positions.size());
  const int64_t distance = mixer.Distance(before.positions[0], count);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t other = (i + distance) % count;
    MixDraw draw = mixer.Draw(before.positions[i]);
    if (distance == 0 || before.weights[i] == 0 || before.weights[other] == 0) draw = {};
    const auto share = static_cast<float>(draw.share);
    EXPECT_EQ(after.shares[i], share);
    EXPECT_EQ(after.others[i], before.labels[draw.kind == MixDraw::Kind::kNone ? i : other]);
    for (int v = 0; v < kValues; ++v) {
      const float own = before.images[i * kValues + v], its = before.images[other * kValues + v];
      const float expected = draw.kind == MixDraw::Kind::kMixup ? share * own + (1 - share) * its
                             : draw.kind == MixDraw::Kind::kCutmix && InBox(draw, v) ? its
                                                                                     : own;
      ASSERT_EQ(after.images[i * kValues + v], expected) << i << " of " << count << ", value " << v;
    }
  }
  EXPECT_EQ(after.labels, before.labels);
}

TEST(ImageMixer, DoesWhatTheDrawSays) {
  const ImageMixer mixer = MixerOf({0.4, 0.5}, {0.4, 1});
  for (int64_t count : {1, 2, 3, 4, 6, 8, 12}) {
    for (int64_t first = 0; first < 40 * count; first += count) {
      const MicroBatch before(first, count);
      MicroBatch after = before;
      after.Apply(mixer);
      ExpectMixed(mixer, before, after);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(ImageMixer, WhatIsNoRealSampleIsLeftAlone) {
  const ImageMixer mixer = MixerOf({0.5, 1}, {0.5, 1});
  for (int64_t first = 0; first < 80; first += 4) {
    MicroBatch before(first, 4);
    before.weights[first / 4 % 4] = 0;
    MicroBatch after = before;
    after.Apply(mixer);
    ExpectMixed(mixer, before, after);
  }
}

TEST(ImageMixer, OneIsNeverItsOwnOther) {
  const ImageMixer mixer = MixerOf({1, 1}, {});
  for (int64_t count : {2, 3, 7, 64}) {
    std::set<int64_t> distances;
    for (int64_t first = 0; first < 1000 * count; first += count)
      distances.insert(mixer.Distance(first, count));
    EXPECT_EQ(*distances.begin(), 1);
    EXPECT_EQ(*distances.rbegin(), count - 1);
    EXPECT_EQ(static_cast<int64_t>(distances.size()), count - 1);
  }
  EXPECT_EQ(mixer.Distance(5, 1), 0);
}

TEST(ImageMixer, KindsComeAsOftenAsAsked) {
  const ImageMixer mixer = MixerOf({0.5, 1}, {0.2, 1});
  int counts[3] = {};
  constexpr int kDraws = 20000;
  for (int64_t p = 0; p < kDraws; ++p) ++counts[static_cast<int>(mixer.Draw(p).kind)];
  EXPECT_NEAR(counts[0], 0.3 * kDraws, 300);
  EXPECT_NEAR(counts[1], 0.5 * kDraws, 300);
  EXPECT_NEAR(counts[2], 0.2 * kDraws, 300);
}

TEST(ImageMixer, TheBoxHasTheShareThatIsSaid) {
  const ImageMixer mixer({{}, {1, 1}, 32, 48, 1, 9});
  double mean = 0;
  for (int64_t p = 0; p < 2000; ++p) {
    const MixDraw draw = mixer.Draw(p);
    ASSERT_TRUE(0 <= draw.top && draw.top <= draw.bottom && draw.bottom <= 32);
    ASSERT_TRUE(0 <= draw.left && draw.left <= draw.right && draw.right <= 48);
    ASSERT_DOUBLE_EQ(draw.share, 1 - (draw.bottom - draw.top) * (draw.right - draw.left) / (32.0 * 48));
    mean += draw.share / 2000;
  }
  EXPECT_GT(mean, 0.5);  // boxes at the border are cut off
  EXPECT_LT(mean, 0.8);
}

TEST(ImageMixer, SeedsDiffer) {
  const ImageMixer a = MixerOf({1, 1}, {}, 1), b = MixerOf({1, 1}, {}, 2);
  EXPECT_NE(a.Draw(5).share, b.Draw(5).share);
  EXPECT_EQ(a.Draw(5).share, MixerOf({1, 1}, {}, 1).Draw(5).share);
}

// Mean 1/2, variance 1 / (4 (2 alpha + 1)), fourth central moment 3 / (16 (2 alpha + 1) (2 alpha + 3)).
TEST(Beta, HasItsMoments) {
  for (const double alpha : {0.001, 0.05, 0.2, 0.5, 1.0, 1.0001, 1.5, 2.0, 8.0, 1000.0}) {
    constexpr int64_t kDraws = 40000;
    double sum = 0, squares = 0, fourths = 0;
    for (int64_t i = 0; i < kDraws; ++i) {
      const double share = DrawBeta(alpha, 77, i), off = share - 0.5;
      ASSERT_TRUE(share >= 0 && share <= 1) << share;
      sum += off / kDraws;
      squares += off * off / kDraws;
      fourths += off * off * off * off / kDraws;
    }
    const double variance = 1 / (4 * (2 * alpha + 1)), fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3));
    EXPECT_NEAR(sum, 0, 5 * std::sqrt(variance / kDraws)) << alpha;
    EXPECT_NEAR(squares / variance, 1, 0.05) << alpha;
    EXPECT_NEAR(fourths / fourth, 1, 0.1) << alpha;
  }
}

}  // namespace
}  // namespace lockstep::data
