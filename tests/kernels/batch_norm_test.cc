#include <cmath>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

struct Case {
  int64_t rows, channels;
  bool relu, residual;
  double mean;  // of the inputs
};

class BatchNormTest : public testing::TestWithParam<Case> {
 protected:
  Case c = GetParam();
  NormAttributes attributes{1e-3f, c.relu, c.residual};
  Shape shape = c.rows % 2 == 0 ? Shape{2, 1, c.rows / 2, c.channels} : Shape{c.rows, c.channels};
  TestTensor x = Random(shape, 1, c.mean - 1, c.mean + 1), residual = Random(shape, 2);
  TestTensor gamma = Random({c.channels}, 3, 0.5, 2), beta = Random({c.channels}, 4);

  std::vector<double> Forward(const std::vector<double>& x, const std::vector<double>& gamma,
                              const std::vector<double>& beta, const std::vector<double>& residual,
                              std::vector<double>* means = nullptr,
                              std::vector<double>* rstds = nullptr) const {
    std::vector<double> y(x.size());
    for (int64_t ch = 0; ch < c.channels; ++ch) {
      double mean = 0, variance = 0;
      for (int64_t r = 0; r < c.rows; ++r) mean += x[r * c.channels + ch] / c.rows;
      for (int64_t r = 0; r < c.rows; ++r) variance += std::pow(x[r * c.channels + ch] - mean, 2) / c.rows;
      const double rstd = 1 / std::sqrt(variance + attributes.epsilon);
      for (int64_t r = 0; r < c.rows; ++r) {
        const int64_t i = r * c.channels + ch;
        y[i] = (x[i] - mean) * rstd * gamma[ch] + beta[ch] + (c.residual ? residual[i] : 0);
        if (c.relu) y[i] = std::max(y[i], 0.0);
      }
      if (means) means->push_back(mean), rstds->push_back(rstd);
    }
    return y;
  }

  std::vector<TestTensor> Inputs() const {
    std::vector<TestTensor> inputs = {x, gamma, beta};
    if (c.residual) inputs.push_back(residual);
    return inputs;
  }
};

INSTANTIATE_TEST_SUITE_P(Shapes, BatchNormTest,
                         testing::Values(Case{2, 1, false, false, 0}, Case{7, 5, false, false, 0},
                                         Case{130, 33, true, false, 3}, Case{64, 64, true, true, 0},
                                         Case{131, 17, false, true, -50}, Case{1, 3, false, false, 0}));

TEST_P(BatchNormTest, ForwardAndStatistics) {
  const auto run = RunOp(OpKind::kBatchNorm, attributes, Inputs());
  std::vector<double> means, rstds;
  const auto y = Forward(Doubles(x), Doubles(gamma), Doubles(beta), Doubles(residual), &means, &rstds);
  ExpectNear(run.outputs[0], y, 2e-6 * (10 + std::abs(c.mean)));
  ExpectNear(run.outputs[1], means);
  ExpectNear(run.outputs[2], rstds, 1e-5);
  ExpectNear(
      run.outputs[3],
      [&](int64_t ch) {
        return (1 / (rstds[ch] * rstds[ch]) - attributes.epsilon) * c.rows / std::max<int64_t>(1, c.rows - 1);
      },
      1e-5);
}

TEST_P(BatchNormTest, Gradients) {
  if (c.rows == 1) return;  // all gradients of x vanish, up to rounding
  const auto forward = RunOp(OpKind::kBatchNorm, attributes, Inputs());
  const auto dy = Random(shape, 9);
  std::vector<TestTensor> inputs = {dy, x};
  if (c.relu) inputs.push_back(forward.outputs[0]);
  inputs.insert(inputs.end(), {gamma, forward.outputs[1], forward.outputs[2]});
  const auto run = RunOp(OpKind::kBatchNormGrad, attributes, inputs);
  const auto loss = [&](const std::vector<double>& y) {
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dy.At(i);
    return sum;
  };
  const auto dx = Doubles(x), dg = Doubles(gamma), db = Doubles(beta), dr = Doubles(residual);
  const auto tolerance = 2e-5 * (1 + std::abs(c.mean));
  // A whole numeric gradient costs rows^2: a few elements of x are enough.
  std::vector<double> at = dx;
  for (size_t i = 0; i < at.size(); i += 1 + at.size() / 40) {
    at[i] = dx[i] + 1e-6;
    const double above = loss(Forward(at, dg, db, dr));
    at[i] = dx[i] - 1e-6;
    const double slope = (above - loss(Forward(at, dg, db, dr))) / 2e-6;
    at[i] = dx[i];
    EXPECT_NEAR(run.outputs[0].At(i), slope, tolerance * (1 + std::abs(slope))) << i;
  }
  ExpectNear(run.outputs[1], NumericGradient(dg, [&](auto& g) { return loss(Forward(dx, g, db, dr)); }),
             tolerance);
  ExpectNear(run.outputs[2], NumericGradient(db, [&](auto& b) { return loss(Forward(dx, dg, b, dr)); }),
             tolerance);
  if (!c.residual) return;
  ExpectNear(run.outputs[3],
             [&](int64_t i) { return !c.relu || forward.outputs[0].At(i) > 0 ? dy.At(i) : 0; });
}

TEST_P(BatchNormTest, Inference) {
  const auto mean = Random({c.channels}, 5), variance = Random({c.channels}, 6, 0.1, 2);
  std::vector<TestTensor> inputs = {x, gamma, beta, mean, variance};
  if (c.residual) inputs.push_back(residual);
  const auto run = RunOp(OpKind::kBatchNormInference, attributes, inputs);
  ExpectNear(
      run.outputs[0],
      [&](int64_t i) {
        const int64_t ch = i % c.channels;
        const double y =
            (x.At(i) - mean.At(ch)) / std::sqrt(variance.At(ch) + attributes.epsilon) * gamma.At(ch) +
            beta.At(ch) + (c.residual ? residual.At(i) : 0);
        return c.relu ? std::max(y, 0.0) : y;
      },
      2e-6 * (10 + std::abs(c.mean)));
}

TEST(BatchNormTest, KeepsASmallVarianceBesideALargeMean) {
  auto x = Random({4096, 2}, 1, 999.9, 1000.1);
  double mean = 0, variance = 0;
  for (int64_t r = 0; r < 4096; ++r) mean += x.At(2 * r) / 4096;
  for (int64_t r = 0; r < 4096; ++r) variance += std::pow(x.At(2 * r) - mean, 2) / 4095;
  const auto run =
      RunOp(OpKind::kBatchNorm, NormAttributes{}, {x, Random({2}, 2, 1, 1), Random({2}, 3, 0, 0)});
  EXPECT_NEAR(run.outputs[3].At(0), variance, 1e-5 * variance);
}

}  // namespace
}  // namespace lockstep::kernels
