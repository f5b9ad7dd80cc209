#include <cmath>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

struct Case {
  int64_t batch, queries, keys, heads, key_heads, size;
  bool packed, causal;
  int mask;  // 0 none, 1 U8, 2 F32
};

class AttentionTest : public testing::TestWithParam<Case> {
 protected:
  Case c = GetParam();
  AttentionAttributes attributes{c.heads, c.key_heads, c.size, 0, c.packed, c.causal, c.mask != 0};
  OpOptions options{{}, false};
  int64_t q_width = (c.heads + (c.packed ? 2 * c.key_heads : 0)) * c.size;
  int64_t kv_width = c.packed ? q_width : c.key_heads * c.size;
  std::vector<TestTensor> qkv;
  std::vector<double> mask;

  void SetUp() override {
    qkv.push_back(Random({c.batch, c.queries, q_width}, 1, -2, 2));
    if (!c.packed) {
      qkv.push_back(Random({c.batch, c.keys, kv_width}, 2, -2, 2));
      qkv.push_back(Random({c.batch, c.keys, kv_width}, 3));
    }
    mask.assign(c.batch * c.keys, 0);
    if (c.mask == 0) return;
    // Sample 0 may attend nothing at all; the others all but every third key.
    for (size_t i = 0; i < mask.size(); ++i) {
      const bool hidden = static_cast<int64_t>(i) < c.keys || i % 3 == 1;
      mask[i] = hidden ? -HUGE_VAL : c.mask == 2 ? 0.1 * (i % 5) : 0;
    }
    TestTensor tensor({c.mask == 1 ? DType::kU8 : DType::kF32, {c.batch, c.keys}});
    for (size_t i = 0; i < mask.size(); ++i) tensor.Set(i, c.mask == 1 ? std::isfinite(mask[i]) : mask[i]);
    qkv.push_back(tensor);
  }

  int64_t QueryAt(int64_t b, int64_t h, int64_t t) const {
    return (b * c.queries + t) * q_width + h * c.size;
  }
  int64_t KeyAt(int64_t b, int64_t h, int64_t s) const {
    return (b * c.keys + s) * kv_width + ((c.packed ? c.heads : 0) + h / (c.heads / c.key_heads)) * c.size;
  }
  int64_t ValueAt(int64_t b, int64_t h, int64_t s) const {
    return KeyAt(b, h, s) + (c.packed ? c.key_heads * c.size : 0);
  }

  using Tensors = std::vector<std::vector<double>>;
  Tensors Values() const {
    Tensors values;
    for (int i = 0; i < (c.packed ? 1 : 3); ++i) values.push_back(Doubles(qkv[i]));
    return values;
  }

  std::vector<double> Forward(const Tensors& in, std::vector<double>* lse = nullptr) const {
    const auto &q = in[0], &k = in[c.packed ? 0 : 1], &v = in[c.packed ? 0 : 2];
    std::vector<double> y(c.batch * c.queries * c.heads * c.size);
    for (int64_t b = 0; b < c.batch; ++b) {
      for (int64_t h = 0; h < c.heads; ++h) {
        for (int64_t t = 0; t < c.queries; ++t) {
          std::vector<double> p(c.keys);
          double sum = 0;
          for (int64_t s = 0; s < c.keys; ++s) {
            double score = mask[b * c.keys + s];
            for (int64_t i = 0; i < c.size; ++i) {
              score +=
                  q[QueryAt(b, h, t) + i] * k[KeyAt(b, h, s) + i] / std::sqrt(static_cast<double>(c.size));
            }
            const bool visible = !c.causal || s <= t + c.keys - c.queries;
            sum += p[s] = visible ? std::exp(score) : 0;
          }
          if (lse) lse->push_back(std::log(sum));
          for (int64_t s = 0; s < c.keys && sum > 0; ++s) {
            for (int64_t i = 0; i < c.size; ++i) {
              y[((b * c.queries + t) * c.heads + h) * c.size + i] += p[s] / sum * v[ValueAt(b, h, s) + i];
            }
          }
        }
      }
    }
    return y;
  }
};

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    testing::Values(Case{1, 1, 1, 1, 1, 1, true, true, 0}, Case{2, 5, 5, 2, 2, 4, true, true, 0},
                    Case{2, 5, 5, 2, 2, 4, true, false, 1}, Case{1, 67, 67, 1, 1, 8, true, true, 0},
                    Case{2, 3, 7, 4, 2, 5, false, false, 2}, Case{1, 4, 9, 2, 1, 3, false, true, 0},
                    Case{1, 70, 66, 1, 1, 2, false, true, 0}, Case{2, 6, 6, 2, 1, 4, true, true, 1}));

TEST_P(AttentionTest, Forward) {
  const auto run = RunOp(OpKind::kAttention, attributes, qkv, options);
  std::vector<double> lse;
  ExpectNear(run.outputs[0], Forward(Values(), &lse), 5e-6);
  ExpectNear(run.outputs[1], lse, 2e-6);
}

TEST_P(AttentionTest, Gradients) {
  const auto forward = RunOp(OpKind::kAttention, attributes, qkv, options);
  const auto dy = Random(forward.outputs[0].type().shape, 7);
  std::vector<TestTensor> inputs = {dy, forward.outputs[0], forward.outputs[1]};
  inputs.insert(inputs.end(), qkv.begin(), qkv.end());
  const auto run = RunOp(OpKind::kAttentionGrad, attributes, inputs, options);
  Tensors values = Values();
  const auto loss = [&] {
    const auto y = Forward(values);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dy.At(i);
    return sum;
  };
  for (size_t tensor = 0; tensor < values.size(); ++tensor) {
    auto& x = values[tensor];
    for (size_t i = 0; i < x.size(); i += 1 + x.size() / 150) {
      const double at = x[i];
      x[i] = at + 1e-5;
      const double above = loss();
      x[i] = at - 1e-5;
      const double slope = (above - loss()) / 2e-5;
      x[i] = at;
      ASSERT_NEAR(run.outputs[tensor].At(i), slope, 1e-5 * (1 + std::abs(slope)))
          << "tensor " << tensor << " at " << i;
    }
  }
}

}  // namespace
}  // namespace lockstep::kernels
