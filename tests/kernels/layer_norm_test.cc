#include <cmath>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

class LayerNormTest : public testing::TestWithParam<std::pair<int64_t, int64_t>> {
 protected:
  int64_t rows = GetParam().first, channels = GetParam().second;
  Shape shape{1, rows, channels};
  TestTensor x = Random(shape, 1, -2, 3), gamma = Random({channels}, 2, 0.5, 2), beta = Random({channels}, 3);

  std::vector<double> Forward(const std::vector<double>& x, const std::vector<double>& gamma,
                              const std::vector<double>& beta) const {
    std::vector<double> y(x.size());
    for (int64_t r = 0; r < rows; ++r) {
      double mean = 0, variance = 0;
      for (int64_t i = 0; i < channels; ++i) mean += x[r * channels + i] / channels;
      for (int64_t i = 0; i < channels; ++i) variance += std::pow(x[r * channels + i] - mean, 2) / channels;
      for (int64_t i = 0; i < channels; ++i) {
        y[r * channels + i] = (x[r * channels + i] - mean) / std::sqrt(variance + 1e-5) * gamma[i] + beta[i];
      }
    }
    return y;
  }
};

INSTANTIATE_TEST_SUITE_P(Shapes, LayerNormTest,
                         testing::Values(std::pair<int64_t, int64_t>{1, 2}, std::pair<int64_t, int64_t>{5, 7},
                                         std::pair<int64_t, int64_t>{67, 16},
                                         std::pair<int64_t, int64_t>{3, 100}));

TEST_P(LayerNormTest, Forward) {
  const auto run = RunOp(OpKind::kLayerNorm, NormAttributes{}, {x, gamma, beta});
  ExpectNear(run.outputs[0], Forward(Doubles(x), Doubles(gamma), Doubles(beta)), 1e-5);
  EXPECT_EQ(run.outputs[1].type().shape, Shape({1, rows}));
}

TEST_P(LayerNormTest, GradientsWithAndWithoutSkip) {
  const auto forward = RunOp(OpKind::kLayerNorm, NormAttributes{}, {x, gamma, beta});
  const auto dy = Random(shape, 4), skip = Random(shape, 5);
  const auto loss = [&](const std::vector<double>& y) {
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dy.At(i);
    return sum;
  };
  const auto dx =
      NumericGradient(Doubles(x), [&](auto& v) { return loss(Forward(v, Doubles(gamma), Doubles(beta))); });
  const auto dg =
      NumericGradient(Doubles(gamma), [&](auto& v) { return loss(Forward(Doubles(x), v, Doubles(beta))); });
  const auto db =
      NumericGradient(Doubles(beta), [&](auto& v) { return loss(Forward(Doubles(x), Doubles(gamma), v)); });
  for (bool residual : {false, true}) {
    NormAttributes attributes;
    attributes.residual = residual;
    std::vector<TestTensor> inputs = {dy, x, gamma, forward.outputs[1], forward.outputs[2]};
    if (residual) inputs.push_back(skip);
    const auto run = RunOp(OpKind::kLayerNormGrad, attributes, inputs);
    ExpectNear(
        run.outputs[0], [&](int64_t i) { return dx[i] + (residual ? skip.At(i) : 0); }, 5e-5);
    ExpectNear(run.outputs[1], dg, 2e-5);
    ExpectNear(run.outputs[2], db, 2e-5);
  }
}

}  // namespace
}  // namespace lockstep::kernels
