#include <cmath>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

struct Case {
  Shape x;
  Window2d window;
};

class PoolTest : public testing::TestWithParam<Case> {
 protected:
  Case c = GetParam();
  Pool2dAttributes attributes{c.window, true, c.x[1], c.x[2]};
  TestTensor x = Random(c.x, 1);

  // visit(element of y, element of x, place in the window), in the order of places.
  template <typename Visit>
  void ForPlaces(const Shape& y, const Visit& visit) const {
    const Window2d& v = c.window;
    for (int64_t i = 0; i < y.NumElements(); ++i) {
      const int64_t ch = i % y[3], ow = i / y[3] % y[2], oh = i / y[3] / y[2] % y[1],
                    n = i / y[3] / y[2] / y[1];
      for (int64_t k = 0; k < v.kernel_h * v.kernel_w; ++k) {
        const int64_t h = oh * v.stride_h - v.pad_top + k / v.kernel_w,
                      p = ow * v.stride_w - v.pad_left + k % v.kernel_w;
        if (h < 0 || h >= c.x[1] || p < 0 || p >= c.x[2]) continue;
        visit(i, ((n * c.x[1] + h) * c.x[2] + p) * c.x[3] + ch, k);
      }
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Shapes, PoolTest,
                         testing::Values(Case{{2, 4, 4, 32}, {2, 2, 2, 2, 1, 1, 0, 0, 0, 0}},
                                         Case{{1, 7, 5, 3}, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}},
                                         Case{{2, 5, 6, 17}, {3, 2, 1, 1, 1, 1, 0, 2, 1, 0}},
                                         Case{{1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 0, 0, 0, 0}}));

TEST_P(PoolTest, MaxAndItsGradient) {
  for (int64_t i = 0; i < x.size(); i += 3) x.Set(i, 0.5);  // ties
  const auto run = RunOp(OpKind::kMaxPool2d, attributes, {x});
  const Shape y = run.outputs[0].type().shape;
  std::vector<double> best(y.NumElements(), -HUGE_VAL), at(y.NumElements(), -1), from(y.NumElements());
  ForPlaces(y, [&](int64_t i, int64_t j, int64_t place) {
    if (x.At(j) > best[i]) best[i] = x.At(j), at[i] = place, from[i] = j;
  });
  ExpectNear(run.outputs[0], best, 0);
  ExpectNear(run.outputs[1], at, 0);
  const auto dy = Random(y, 2);
  std::vector<double> dx(x.size());
  for (int64_t i = 0; i < dy.size(); ++i) dx[from[i]] += dy.At(i);
  ExpectNear(RunOp(OpKind::kMaxPool2dGrad, attributes, {dy, run.outputs[1]}).outputs[0], dx);
}

TEST_P(PoolTest, AverageAndItsGradient) {
  for (bool count_padding : {true, false}) {
    attributes.count_padding = count_padding;
    const auto run = RunOp(OpKind::kAvgPool2d, attributes, {x});
    const Shape y = run.outputs[0].type().shape;
    std::vector<double> sum(y.NumElements()), divisor(y.NumElements());
    ForPlaces(y, [&](int64_t i, int64_t j, int64_t) { sum[i] += x.At(j), ++divisor[i]; });
    const auto share = [&](int64_t i) {
      return count_padding ? c.window.kernel_h * c.window.kernel_w : divisor[i];
    };
    ExpectNear(run.outputs[0], [&](int64_t i) { return sum[i] / share(i); });
    const auto dy = Random(y, 2);
    std::vector<double> dx(x.size());
    ForPlaces(y, [&](int64_t i, int64_t j, int64_t) { dx[j] += dy.At(i) / share(i); });
    ExpectNear(RunOp(OpKind::kAvgPool2dGrad, attributes, {dy}).outputs[0], dx);
  }
}

TEST(MaxPoolTest, NaNWins) {
  const auto x = FromValues({DType::kF32, {1, 2, 2, 1}}, {1, NAN, 3, 2});
  const auto run = RunOp(OpKind::kMaxPool2d, Pool2dAttributes{{2, 2, 2, 2, 1, 1, 0, 0, 0, 0}}, {x});
  EXPECT_TRUE(std::isnan(run.outputs[0].At(0)));
}

}  // namespace
}  // namespace lockstep::kernels
