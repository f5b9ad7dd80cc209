#include <cmath>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

struct Case {
  Shape x;
  int64_t out;
  Window2d window;
  int64_t groups = 1;
};

class ConvTest : public testing::TestWithParam<Case> {
 protected:
  Case c = GetParam();
  Conv2dAttributes attributes{c.window, c.groups, true, c.x[1], c.x[2]};
  TestTensor x = Random(c.x, 1);
  TestTensor w = Random({c.out, c.x[3] / c.groups, c.window.kernel_h, c.window.kernel_w}, 2),
             b = Random({c.out}, 3);
  OpOptions options{{}, false};

  // visit(element of x, of w, of y) for every product that the convolution sums.
  template <typename Visit>
  void ForProducts(const Shape& y, const Visit& visit) const {
    const Window2d& v = c.window;
    const int64_t in = c.x[3] / c.groups, out = c.out / c.groups;
    for (int64_t i = 0; i < y.NumElements(); ++i) {
      const int64_t o = i % y[3], ow = i / y[3] % y[2], oh = i / y[3] / y[2] % y[1],
                    n = i / y[3] / y[2] / y[1];
      for (int64_t k = 0; k < in * v.kernel_h * v.kernel_w; ++k) {
        const int64_t kw = k % v.kernel_w, kh = k / v.kernel_w % v.kernel_h, ic = k / v.kernel_w / v.kernel_h;
        const int64_t h = oh * v.stride_h - v.pad_top + kh * v.dilation_h;
        const int64_t p = ow * v.stride_w - v.pad_left + kw * v.dilation_w;
        if (h < 0 || h >= c.x[1] || p < 0 || p >= c.x[2]) continue;
        visit(((n * c.x[1] + h) * c.x[2] + p) * c.x[3] + o / out * in + ic,
              ((o * in + ic) * v.kernel_h + kh) * v.kernel_w + kw, i);
      }
    }
  }
};

Window2d Window(int64_t kernel, int64_t stride, int64_t pad, int64_t dilation = 1) {
  return {kernel, kernel, stride, stride, dilation, dilation, pad, pad, pad, pad};
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ConvTest,
    testing::Values(Case{{2, 8, 8, 1}, 32, Window(3, 1, 1)}, Case{{2, 6, 6, 3}, 64, Window(3, 1, 1)},
                    Case{{2, 8, 8, 16}, 32, Window(1, 2, 0)}, Case{{1, 7, 5, 5}, 7, Window(3, 2, 1)},
                    Case{{2, 9, 9, 16}, 16, Window(3, 1, 2, 2)}, Case{{2, 6, 6, 12}, 20, Window(3, 1, 1), 4},
                    Case{{2, 6, 6, 16}, 16, Window(3, 1, 1), 16}, Case{{1, 4, 4, 1}, 1, Window(1, 1, 0)},
                    Case{{2, 5, 9, 6}, 10, {2, 3, 1, 2, 1, 1, 0, 1, 2, 0}, 2},
                    Case{{1, 12, 12, 3}, 16, Window(5, 3, 2)}, Case{{1, 3, 3, 33}, 17, Window(3, 1, 1)}));

TEST_P(ConvTest, Forward) {
  const auto run = RunOp(OpKind::kConv2d, attributes, {x, w, b}, options);
  std::vector<double> y(run.outputs[0].size());
  for (size_t i = 0; i < y.size(); ++i) y[i] = b.At(i % c.out);
  ForProducts(run.outputs[0].type().shape,
              [&](int64_t i, int64_t j, int64_t k) { y[k] += x.At(i) * w.At(j); });
  ExpectNear(run.outputs[0], y, 2e-5);

  attributes.bias = false;
  const auto plain = RunOp(OpKind::kConv2d, attributes, {x, w}, options);
  for (size_t i = 0; i < y.size(); ++i) y[i] -= b.At(i % c.out);
  ExpectNear(plain.outputs[0], y, 2e-5);
}

TEST_P(ConvTest, Gradients) {
  OpSpec spec{OpKind::kConv2d, attributes, {x.type(), w.type(), b.type()}, {}};
  const Shape y = InferOutputs(spec)->at(0).shape;
  const auto dy = Random(y, 4);
  std::vector<double> dx(x.size()), dw(w.size()), db(c.out);
  ForProducts(y, [&](int64_t i, int64_t j, int64_t k) {
    dx[i] += dy.At(k) * w.At(j);
    dw[j] += dy.At(k) * x.At(i);
  });
  for (int64_t i = 0; i < dy.size(); ++i) db[i % c.out] += dy.At(i);
  const auto input = RunOp(OpKind::kConv2dInputGrad, attributes, {dy, w}, options);
  ExpectNear(input.outputs[0], dx, 2e-5);
  const auto weight = RunOp(OpKind::kConv2dWeightGrad, attributes, {dy, x}, options);
  ExpectNear(weight.outputs[0], dw, 2e-5);
  ExpectNear(weight.outputs[1], db, 2e-5);
}

}  // namespace
}  // namespace lockstep::kernels
