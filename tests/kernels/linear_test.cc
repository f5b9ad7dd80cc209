#include <cmath>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

OpOptions WithOnednn() {
  OpOptions options;
  options.check_allocations = false;
  return options;
}

struct Sizes {
  int64_t rows, in, out;
};

class LinearTest : public testing::TestWithParam<Sizes> {
 protected:
  // Two leading dimensions where the rows allow it.
  Shape With(int64_t last) const {
    const int64_t rows = GetParam().rows;
    return rows % 2 == 0 ? Shape{2, rows / 2, last} : Shape{rows, last};
  }
  int64_t rows() const { return GetParam().rows; }
  int64_t in() const { return GetParam().in; }
  int64_t out() const { return GetParam().out; }
  // Sums of `terms` products of numbers in [-1, 1].
  double Tolerance(int64_t terms) const { return 1e-6 * (1 + std::sqrt(static_cast<double>(terms))); }
};

INSTANTIATE_TEST_SUITE_P(Shapes, LinearTest,
                         testing::Values(Sizes{1, 1, 1}, Sizes{4, 3, 5}, Sizes{17, 31, 13},
                                         Sizes{128, 64, 10}, Sizes{33, 784, 40}, Sizes{1030, 24, 48},
                                         Sizes{2051, 19, 37}));

TEST_P(LinearTest, Forward) {
  const auto x = Random(With(in()), 1), w = Random({out(), in()}, 2);
  const auto run = RunOp(OpKind::kLinear, LinearAttributes{}, {x, w}, WithOnednn());
  ExpectNear(
      run.outputs[0],
      [&](int64_t i) {
        double sum = 0;
        for (int64_t k = 0; k < in(); ++k) sum += x.At(i / out() * in() + k) * w.At(i % out() * in() + k);
        return sum;
      },
      Tolerance(in()));
}

// y = tanh(x w^T + bias) + residual, and the sum before it as a second output.
TEST_P(LinearTest, Epilogue) {
  const auto x = Random(With(in()), 1), w = Random({out(), in()}, 2);
  const auto bias = Random({out()}, 3), residual = Random(With(out()), 4);
  LinearAttributes attributes;
  Program& p = attributes.epilogue;
  const uint16_t result = p.Append({.op = ProgramOp::kResult});
  const uint16_t b = p.Append({.op = ProgramOp::kLoad, .a = 0});
  const uint16_t sum = p.Append({.op = ProgramOp::kAdd, .a = result, .b = b});
  const uint16_t tanh = p.Append({.op = ProgramOp::kTanh, .a = sum});
  const uint16_t r = p.Append({.op = ProgramOp::kLoad, .a = 1});
  p.outputs = {p.Append({.op = ProgramOp::kAdd, .a = tanh, .b = r}), sum};
  const auto run = RunOp(OpKind::kLinear, attributes, {x, w, bias, residual}, WithOnednn());
  const auto expected = [&](int64_t i) {
    double total = bias.At(i % out());
    for (int64_t k = 0; k < in(); ++k) total += x.At(i / out() * in() + k) * w.At(i % out() * in() + k);
    return total;
  };
  ExpectNear(run.outputs[1], expected, Tolerance(in()));
  ExpectNear(
      run.outputs[0], [&](int64_t i) { return std::tanh(expected(i)) + residual.At(i); }, Tolerance(in()));
}

TEST_P(LinearTest, InputGradWithAndWithoutEpilogue) {
  const auto dy = Random(With(out()), 1), w = Random({out(), in()}, 2), skip = Random(With(in()), 3);
  const auto expected = [&](int64_t i) {
    double sum = 0;
    for (int64_t k = 0; k < out(); ++k) sum += dy.At(i / in() * out() + k) * w.At(k * in() + i % in());
    return sum;
  };
  const auto run = RunOp(OpKind::kLinearInputGrad, LinearAttributes{}, {dy, w}, WithOnednn());
  ExpectNear(run.outputs[0], expected, Tolerance(out()));

  LinearAttributes attributes;
  Program& p = attributes.epilogue;
  p.Append({.op = ProgramOp::kLoad, .a = 0});
  p.Append({.op = ProgramOp::kResult});
  p.outputs = {p.Append({.op = ProgramOp::kReluGrad, .a = 0, .b = 1})};
  const auto masked = RunOp(OpKind::kLinearInputGrad, attributes, {dy, w, skip}, WithOnednn());
  ExpectNear(
      masked.outputs[0], [&](int64_t i) { return skip.At(i) > 0 ? expected(i) : 0; }, Tolerance(out()));
}

TEST_P(LinearTest, WeightGradAndBiasGrad) {
  const auto dy = Random(With(out()), 1), x = Random(With(in()), 2);
  const auto run = RunOp(OpKind::kLinearWeightGrad, WeightGradAttributes{true}, {dy, x}, WithOnednn());
  ExpectNear(
      run.outputs[0],
      [&](int64_t i) {
        double sum = 0;
        for (int64_t r = 0; r < rows(); ++r) sum += dy.At(r * out() + i / in()) * x.At(r * in() + i % in());
        return sum;
      },
      Tolerance(rows()));
  ExpectNear(run.outputs[1], [&](int64_t i) {
    double sum = 0;
    for (int64_t r = 0; r < rows(); ++r) sum += dy.At(r * out() + i);
    return sum;
  });
}

TEST(MatMulTest, EveryTransposeBatchedAndShared) {
  const int64_t m = 9, n = 17, k = 5;
  for (int flags = 0; flags < 8; ++flags) {
    const bool ta = flags & 1, tb = flags & 2, shared = flags & 4;
    const auto a = Random(ta ? Shape{2, 3, k, m} : Shape{2, 3, m, k}, 1);
    const int64_t b0 = tb ? n : k, b1 = tb ? k : n;
    const auto b = Random(shared ? Shape{b0, b1} : Shape{2, 3, b0, b1}, 2);
    const auto run = RunOp(OpKind::kMatMul, MatMulAttributes{ta, tb, 0.5f}, {a, b}, WithOnednn());
    ExpectNear(run.outputs[0], [&](int64_t i) {
      const int64_t batch = i / (m * n), row = i / n % m, column = i % n;
      double sum = 0;
      for (int64_t j = 0; j < k; ++j) {
        const int64_t at = batch * m * k + (ta ? j * m + row : row * k + j);
        const int64_t bt = (shared ? 0 : batch * k * n) + (tb ? column * k + j : j * n + column);
        sum += a.At(at) * b.At(bt);
      }
      return sum / 2;
    });
  }
}

}  // namespace
}  // namespace lockstep::kernels
