#include <cmath>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

class CrossEntropyTest : public testing::TestWithParam<int64_t> {
 protected:
  int64_t classes = GetParam();
  TestTensor logits = Random({6, classes}, 1, -5, 5);
  std::vector<double> labels = {0,  -100, static_cast<double>(classes - 1), static_cast<double>(classes),
                                -1, 0};
  std::vector<double> weights = {1, 0, 0.5, 1, 2, 3};  // row 1 is padding; rows 3 and 4 are wrong

  bool Counts(int64_t r) const { return weights[r] != 0 && labels[r] >= 0 && labels[r] < classes; }
  double LogSum(int64_t r) const {
    double sum = 0;
    for (int64_t i = 0; i < classes; ++i) sum += std::exp(logits.At(r * classes + i));
    return std::log(sum);
  }
};

INSTANTIATE_TEST_SUITE_P(Classes, CrossEntropyTest, testing::Values(1, 2, 10, 33, 5000));

TEST_P(CrossEntropyTest, LossGradientAndInvalidLabels) {
  for (DType dtype : {DType::kI32, DType::kI64}) {
    const auto label = FromValues({dtype, {6}}, labels), weight = FromValues({DType::kF32, {6}}, weights);
    const auto run = RunOp(OpKind::kCrossEntropy, NoAttributes{}, {logits, label, weight});
    double loss = 0;
    for (int64_t r = 0; r < 6; ++r) {
      if (Counts(r))
        loss += weights[r] * (LogSum(r) - logits.At(r * classes + static_cast<int64_t>(labels[r])));
    }
    EXPECT_NEAR(run.outputs[0].At(0), loss, 1e-6 * (1 + loss));
    ExpectNear(run.outputs[2], {2, 3}, 0);
    const auto dloss = FromValues({DType::kF32, {}}, {0.25});
    const auto grad =
        RunOp(OpKind::kCrossEntropyGrad, NoAttributes{}, {logits, label, weight, run.outputs[1], dloss});
    ExpectNear(grad.outputs[0], [&](int64_t i) {
      const int64_t r = i / classes;
      if (!Counts(r)) return 0.0;
      return 0.25 * weights[r] * (std::exp(logits.At(i) - LogSum(r)) - (labels[r] == i % classes));
    });
  }
}

TEST(CrossEntropyTest, LargeLogitsStayFinite) {
  const auto logits = FromValues({DType::kF32, {1, 3}}, {1e4, -1e4, 9990});
  const auto run = RunOp(OpKind::kCrossEntropy, NoAttributes{},
                         {logits, FromValues({DType::kI32, {1}}, {2}), FromValues({DType::kF32, {1}}, {1})});
  EXPECT_NEAR(run.outputs[0].At(0), 10 + std::log1p(std::exp(-10)), 1e-3);
}

TEST(MeanSquaredErrorTest, LossAndGradient) {
  const auto p = Random({4, 13}, 1), t = Random({4, 13}, 2),
             w = FromValues({DType::kF32, {4}}, {1, 0, 0.5, 2});
  const auto run = RunOp(OpKind::kMeanSquaredError, NoAttributes{}, {p, t, w});
  double loss = 0;
  for (int64_t i = 0; i < 52; ++i) loss += w.At(i / 13) * std::pow(p.At(i) - t.At(i), 2) / 13;
  EXPECT_NEAR(run.outputs[0].At(0), loss, 1e-6);
  const auto grad =
      RunOp(OpKind::kMeanSquaredErrorGrad, NoAttributes{}, {p, t, w, FromValues({DType::kF32, {}}, {3})});
  ExpectNear(grad.outputs[0], [&](int64_t i) { return 3 * w.At(i / 13) * 2 * (p.At(i) - t.At(i)) / 13; });
}

TEST(AccuracyTest, CountsFirstMaximaByWeight) {
  const auto logits = FromValues({DType::kF32, {5, 3}}, {1, 2, 2, 1, 2, 2, 0, 0, 1, 5, 1, 1, NAN, 1, 0});
  const auto labels = FromValues({DType::kI64, {5}}, {1, 2, 2, 9, 1});
  const auto weights = FromValues({DType::kF32, {5}}, {1, 4, 0.5, 8, 16});
  const auto run = RunOp(OpKind::kAccuracy, NoAttributes{}, {logits, labels, weights});
  EXPECT_EQ(run.outputs[0].At(0), 1 + 0.5 + 16);  // NaN is no maximum
}

}  // namespace
}  // namespace lockstep::kernels
