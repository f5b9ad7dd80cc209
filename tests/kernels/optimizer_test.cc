#include "kernels/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "runtime/core/rng.h"

namespace lockstep::kernels {
namespace {

using Floats = std::vector<float>;

Floats RandomFloats(size_t count, uint64_t seed, float low = -1, float high = 1) {
  Floats values(count);
  FillUniform(seed, low, high, absl::MakeSpan(values));
  return values;
}

// What AdamW and SGD keep: parameter, gradient and two moments.
struct State {
  Floats p, g, m, v;
  explicit State(size_t count)
      : p(RandomFloats(count, 1)),
        g(RandomFloats(count, 2)),
        m(RandomFloats(count, 3)),
        v(RandomFloats(count, 4, 0, 1)) {}
};

absl::Span<float> Part(Floats& values, size_t begin, size_t end) {
  return absl::MakeSpan(values).subspan(begin, end - begin);
}

TEST(OptimizerTest, AdamWFollowsItsFormula) {
  for (int64_t step : {1, 2, 1000}) {
    State s(77), old = s;
    const AdamWStep options = {.learning_rate = 0.01,
                               .beta1 = 0.8,
                               .beta2 = 0.99,
                               .epsilon = 1e-6,
                               .weight_decay = 0.1,
                               .gradient_scale = 0.5,
                               .step = step};
    AdamW(options, s.g, absl::MakeSpan(s.p), absl::MakeSpan(s.m), absl::MakeSpan(s.v));
    for (size_t i = 0; i < 77; ++i) {
      const double g = 0.5 * old.g[i], m = 0.8 * old.m[i] + 0.2 * g, v = 0.99 * old.v[i] + 0.01 * g * g;
      const double root = std::sqrt(v) / std::sqrt(1 - std::pow(0.99, step));
      const double p = old.p[i] * (1 - 0.001) - 0.01 / (1 - std::pow(0.8, step)) * m / (root + 1e-6);
      ASSERT_NEAR(s.m[i], m, 1e-6);
      ASSERT_NEAR(s.v[i], v, 1e-6);
      ASSERT_NEAR(s.p[i], p, 1e-6);
    }
  }
}

TEST(OptimizerTest, SgdFollowsItsFormula) {
  for (double momentum : {0.0, 0.9}) {
    for (bool nesterov : {false, true}) {
      for (int64_t step : {1, 5}) {
        State s(53), old = s;
        const SgdStep options = {0.1, momentum, 0.01, 2, nesterov, step};
        Sgd(options, s.g, absl::MakeSpan(s.p), momentum != 0 ? absl::MakeSpan(s.m) : absl::Span<float>());
        for (size_t i = 0; i < 53; ++i) {
          const double g = 2 * old.g[i] + 0.01 * old.p[i], b = step == 1 ? g : momentum * old.m[i] + g;
          const double d = momentum == 0 ? g : nesterov ? g + momentum * b : b;
          ASSERT_NEAR(s.p[i], old.p[i] - 0.1 * d, 1e-6);
          ASSERT_NEAR(s.m[i], momentum != 0 ? b : old.m[i], 1e-6);
        }
      }
    }
  }
}

TEST(OptimizerTest, SmallHelpers) {
  const Floats from = RandomFloats(37, 5);
  Floats sum = RandomFloats(37, 6), average = sum, scaled(37), fused = sum;
  const Floats old = sum;
  AddInto(from, absl::MakeSpan(sum));
  UpdateAverage(0.9, from, absl::MakeSpan(average));
  ScaledCopy(3, from, absl::MakeSpan(scaled));
  AddScaledInto(-2, from, absl::MakeSpan(fused));
  for (size_t i = 0; i < 37; ++i) {
    EXPECT_EQ(sum[i], old[i] + from[i]);
    EXPECT_NEAR(average[i], 0.9 * old[i] + 0.1 * from[i], 1e-6);
    EXPECT_EQ(scaled[i], 3 * from[i]);
    EXPECT_NEAR(fused[i], old[i] - 2.0 * from[i], 1e-6);
  }
}

// Any cut of a tensor into ranges, at any address, gives the same bits.
TEST(OptimizerTest, RangesGiveTheSameBits) {
  const size_t count = 1000;
  using Update = std::function<void(State&, size_t, size_t)>;
  const std::vector<Update> updates = {
      [](State& s, size_t a, size_t b) {
        AdamW({.step = 3}, Part(s.g, a, b), Part(s.p, a, b), Part(s.m, a, b), Part(s.v, a, b));
      },
      [](State& s, size_t a, size_t b) {
        Sgd({0.1, 0.9, 0.01, 0.3, true, 3}, Part(s.g, a, b), Part(s.p, a, b), Part(s.m, a, b));
      },
      [](State& s, size_t a, size_t b) { UpdateAverage(0.99, Part(s.g, a, b), Part(s.p, a, b)); },
      [](State& s, size_t a, size_t b) { AddScaledInto(0.3f, Part(s.g, a, b), Part(s.p, a, b)); },
  };
  for (const Update& update : updates) {
    State whole(count);
    update(whole, 0, count);
    for (const std::vector<size_t>& cuts :
         {std::vector<size_t>{16, 48, 512}, {1, 2, 3, 999}, {17, 333, 334, 900}}) {
      State parts(count);
      size_t begin = 0;
      for (size_t cut : cuts) update(parts, std::exchange(begin, cut), cut);
      update(parts, begin, count);
      EXPECT_EQ(0, std::memcmp(parts.p.data(), whole.p.data(), count * sizeof(float)));
      EXPECT_EQ(0, std::memcmp(parts.m.data(), whole.m.data(), count * sizeof(float)));
      EXPECT_EQ(0, std::memcmp(parts.v.data(), whole.v.data(), count * sizeof(float)));
    }
  }
}

TEST(NormTest, IsTheSameWhoeverSumsTheChunks) {
  const size_t count = 5 * kNormChunk + 123;
  Floats x = RandomFloats(count, 8, -1e20f, 1e20f);
  std::vector<double> sums(6), parts(6);
  ChunkSumsOfSquares(x, absl::MakeSpan(sums));
  const Floats moved(x.begin() + 2 * kNormChunk, x.end());
  ChunkSumsOfSquares(absl::MakeSpan(x).subspan(0, 2 * kNormChunk), absl::MakeSpan(parts).subspan(0, 2));
  ChunkSumsOfSquares(moved, absl::MakeSpan(parts).subspan(2));
  EXPECT_EQ(sums, parts);
  long double expected = 0;
  for (float v : x) expected += static_cast<long double>(v) * v;
  EXPECT_NEAR(TreeSum(absl::MakeSpan(sums)) / static_cast<double>(expected), 1, 1e-14);
  EXPECT_EQ(TreeSum({}), 0);
}

TEST(FindNonFiniteTest, NamesTheFirst) {
  for (size_t count : {1u, 17u, 5000u, 9000u}) {
    Floats x = RandomFloats(count, 9);
    EXPECT_EQ(FindNonFinite(x), -1);
    x[count - 1] = std::numeric_limits<float>::max();
    EXPECT_EQ(FindNonFinite(x), -1);
    x[count - 1] = -std::numeric_limits<float>::infinity();
    EXPECT_EQ(FindNonFinite(x), static_cast<int64_t>(count - 1));
    x[count / 2] = NAN;
    EXPECT_EQ(FindNonFinite(x), static_cast<int64_t>(count / 2));
  }
}

}  // namespace
}  // namespace lockstep::kernels
