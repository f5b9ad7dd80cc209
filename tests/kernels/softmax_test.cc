#include <cmath>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

std::vector<double> Softmax(const std::vector<double>& x, int64_t columns) {
  std::vector<double> y(x.size());
  for (size_t r = 0; r < x.size() / columns; ++r) {
    double max = -HUGE_VAL, sum = 0;
    for (int64_t i = 0; i < columns; ++i) max = std::max(max, x[r * columns + i]);
    for (int64_t i = 0; i < columns; ++i) sum += y[r * columns + i] = std::exp(x[r * columns + i] - max);
    for (int64_t i = 0; i < columns; ++i) y[r * columns + i] /= sum;
  }
  return y;
}

TEST(SoftmaxTest, ForwardAndGradient) {
  for (int64_t columns : {1, 3, 10, 16, 37, 2100}) {
    const Shape shape = {2, 3, columns};
    const auto x = Random(shape, 1, -30, 80), dy = Random(shape, 2);
    const auto y = RunOp(OpKind::kSoftmax, NoAttributes{}, {x});
    ExpectNear(y.outputs[0], Softmax(Doubles(x), columns));
    const auto grad = RunOp(OpKind::kSoftmaxGrad, NoAttributes{}, {y.outputs[0], dy});
    ExpectNear(grad.outputs[0], [&](int64_t i) {
      const int64_t row = i / columns * columns;
      double dot = 0;
      for (int64_t j = row; j < row + columns; ++j) dot += y.outputs[0].At(j) * dy.At(j);
      return y.outputs[0].At(i) * (dy.At(i) - dot);
    });
  }
}

TEST(SoftmaxTest, NaNAndMinusInfinity) {
  const auto x = FromValues({DType::kF32, {2, 3}}, {0, -HUGE_VAL, 0, 1, NAN, 2});
  const auto run = RunOp(OpKind::kSoftmax, NoAttributes{}, {x});
  EXPECT_EQ(run.outputs[0].At(0), 0.5);
  EXPECT_EQ(run.outputs[0].At(1), 0);
  for (int i = 3; i < 6; ++i) EXPECT_TRUE(std::isnan(run.outputs[0].At(i)));
}

}  // namespace
}  // namespace lockstep::kernels
