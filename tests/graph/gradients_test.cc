// Every differentiable operator, through the graph: the gradient against differences of the loss.
#include <gtest/gtest.h>

#include "tests/testing/gradcheck.h"

namespace lockstep::graph {
namespace {

const Initializer kNormal = Initializer::Normal(0.7f);

// A loss that weighs every element of `y` differently (an input named after it), so that no error cancels.
void LossOf(Builder& b, Tensor y) { b.Loss(b.Mul(y, b.Input("coefficient", DType::kF32, b.shape(y)))); }

using UnaryOp = Tensor (*)(Builder&, Tensor);

struct UnaryCase {
  const char* name;
  UnaryOp op;
  Initializer initializer = kNormal;
};

class UnaryGradient : public testing::TestWithParam<UnaryCase> {};

TEST_P(UnaryGradient, MatchesDifferences) {
  GradcheckOptions options;
  options.step = 0.005;  // some of them have kinks, which no element of these seeds is near
  CheckGradients(
      [](Builder& b) { LossOf(b, GetParam().op(b, PerSample(b, "x", {7}, GetParam().initializer))); },
      options);
}

const Initializer kPositive = Initializer{Initializer::Kind::kUniform, 0.5f, 2.0f};

INSTANTIATE_TEST_SUITE_P(
    All, UnaryGradient,
    testing::Values(UnaryCase{"Scale", [](Builder& b, Tensor x) { return b.Scale(x, -1.5f); }},
                    UnaryCase{"Shift", [](Builder& b, Tensor x) { return b.Shift(x, 3); }},
                    UnaryCase{"Neg", [](Builder& b, Tensor x) { return b.Neg(x); }},
                    UnaryCase{"Abs", [](Builder& b, Tensor x) { return b.Abs(x); }},
                    UnaryCase{"Square", [](Builder& b, Tensor x) { return b.Square(x); }},
                    UnaryCase{"Sqrt", [](Builder& b, Tensor x) { return b.Sqrt(x); }, kPositive},
                    UnaryCase{"Exp", [](Builder& b, Tensor x) { return b.Exp(x); }},
                    UnaryCase{"Log", [](Builder& b, Tensor x) { return b.Log(x); }, kPositive},
                    UnaryCase{"Relu", [](Builder& b, Tensor x) { return b.Relu(x); }},
                    UnaryCase{"GeluErf", [](Builder& b, Tensor x) { return b.Gelu(x, GeluKind::kErf); }},
                    UnaryCase{"GeluTanh", [](Builder& b, Tensor x) { return b.Gelu(x, GeluKind::kTanh); }},
                    UnaryCase{"Tanh", [](Builder& b, Tensor x) { return b.Tanh(x); }},
                    UnaryCase{"Sigmoid", [](Builder& b, Tensor x) { return b.Sigmoid(x); }},
                    UnaryCase{"Silu", [](Builder& b, Tensor x) { return b.Silu(x); }},
                    UnaryCase{"Softmax", [](Builder& b, Tensor x) { return b.Softmax(x); }},
                    UnaryCase{"Dropout", [](Builder& b, Tensor x) { return b.Dropout(x, 0.4f); }}),
    [](const auto& info) { return info.param.name; });

struct BinaryCase {
  const char* name;
  Tensor (Builder::*op)(Tensor, Tensor);
};

class BinaryGradient : public testing::TestWithParam<BinaryCase> {};

TEST_P(BinaryGradient, OfEqualShapes) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 3}, kPositive);
    LossOf(b, (b.*GetParam().op)(x, PerSample(b, "y", {2, 3}, kPositive)));
  });
}

TEST_P(BinaryGradient, OfASuffix) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 3}, kPositive);
    LossOf(b, (b.*GetParam().op)(b.Parameter("y", {3}, kPositive), x));
  });
}

TEST_P(BinaryGradient, OfTrailingOnes) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 3}, kPositive);
    LossOf(b, (b.*GetParam().op)(x, PerSample(b, "y", {2, 1}, kPositive)));
  });
}

TEST_P(BinaryGradient, OfTrailingOnesWithoutSamples) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 3}, kPositive);
    LossOf(b, (b.*GetParam().op)(x, b.Parameter("y", {2, 1}, kPositive)));
  });
}

TEST_P(BinaryGradient, OfOneNumberASample) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 3}, kPositive);
    LossOf(b, (b.*GetParam().op)(x, PerSample(b, "y", {}, kPositive)));
  });
}

TEST_P(BinaryGradient, OfASuffixForEachSample) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 3}, kPositive);
    LossOf(b, (b.*GetParam().op)(x, PerSample(b, "y", {3}, kPositive)));
  });
}

TEST_P(BinaryGradient, OfOneTensorTwice) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {5}, kPositive);
    const Tensor p = b.Parameter("p", {5}, kPositive);
    LossOf(b, b.Add((b.*GetParam().op)(x, x), (b.*GetParam().op)(p, p)));
  });
}

INSTANTIATE_TEST_SUITE_P(All, BinaryGradient,
                         testing::Values(BinaryCase{"Add", &Builder::Add}, BinaryCase{"Sub", &Builder::Sub},
                                         BinaryCase{"Mul", &Builder::Mul}, BinaryCase{"Div", &Builder::Div}),
                         [](const auto& info) { return info.param.name; });

TEST(Gradient, MaximumAndMinimum) {
  GradcheckOptions options;
  options.step = 0.002;
  CheckGradients(
      [](Builder& b) {
        const Tensor x = PerSample(b, "x", {6}, kNormal), y = PerSample(b, "y", {6}, kNormal);
        LossOf(b, b.Add(b.Maximum(x, y), b.Scale(b.Minimum(x, y), 3)));
      },
      options);
}

TEST(Gradient, MaximumSplitsTies) {
  HarnessOptions options;
  options.micro_batch = 1;
  LaneHarness lane(
      [](Builder& b) {
        const Tensor x = b.Parameter("x", {2}, Initializer::Ones()),
                     y = b.Parameter("y", {2}, Initializer::Ones());
        b.Loss(b.Mul(b.Maximum(x, y), b.Shift(b.Scale(b.SampleWeight(), 0), 1)));
      },
      options);
  ASSERT_TRUE(lane.ok());
  lane.Run();
  EXPECT_EQ(lane.gradient("x")[0], 0.5f);
  EXPECT_EQ(lane.gradient("y")[1], 0.5f);
}

struct MatMulCase {
  bool transpose_a, transpose_b;
};

class MatMulGradient : public testing::TestWithParam<MatMulCase> {};

Shape Turned(bool turned, int64_t rows, int64_t columns) {
  return turned ? Shape{columns, rows} : Shape{rows, columns};
}

TEST_P(MatMulGradient, OfBatches) {
  CheckGradients([](Builder& b) {
    const auto [ta, tb] = GetParam();
    const Tensor x = PerSample(b, "x", Turned(ta, 2, 3), kNormal),
                 y = PerSample(b, "y", Turned(tb, 3, 4), kNormal);
    LossOf(b, b.MatMul(x, y, ta, tb));
  });
}

TEST_P(MatMulGradient, OfBatchesWithOneMatrix) {
  CheckGradients([](Builder& b) {
    const auto [ta, tb] = GetParam();
    const Tensor x = PerSample(b, "x", Turned(ta, 2, 3), kNormal);
    LossOf(b, b.MatMul(x, b.Parameter("y", Turned(tb, 3, 4), kNormal), ta, tb));
  });
}

TEST_P(MatMulGradient, OfTwoMatrices) {
  CheckGradients([](Builder& b) {
    const auto [ta, tb] = GetParam();
    const Tensor y = b.MatMul(b.Parameter("x", Turned(ta, 2, 3), kNormal),
                              b.Parameter("y", Turned(tb, 3, 4), kNormal), ta, tb);
    LossOf(b, b.Mul(y, b.SampleWeight()));
  });
}

INSTANTIATE_TEST_SUITE_P(All, MatMulGradient,
                         testing::Values(MatMulCase{false, false}, MatMulCase{false, true},
                                         MatMulCase{true, false}, MatMulCase{true, true}));

TEST(Gradient, Linear) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 5}, kNormal);
    LossOf(b, b.Linear(x, b.Parameter("w", {3, 5}, kNormal), b.Parameter("b", {3}, kNormal)));
  });
}

TEST(Gradient, Conv2dWithStridePaddingDilationAndGroups) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {6, 5, 4}, kNormal);
    const Conv2dOptions options{
        .stride_h = 2, .stride_w = 1, .pad_h = 1, .pad_w = 2, .dilation_w = 2, .groups = 2};
    LossOf(b, b.Conv2d(x, b.Parameter("w", {6, 2, 3, 2}, kNormal), b.Parameter("b", {6}, kNormal), options));
  });
}

TEST(Gradient, Conv2dWithoutBias) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {5, 5, 3}, kNormal);
    LossOf(b, b.Conv2d(x, b.Parameter("w", {4, 3, 3, 3}, kNormal), {}, Conv2dOptions::Square(1, 1)));
  });
}

TEST(Gradient, MaxPool2d) {
  GradcheckOptions options;
  options.step = 0.0005;  // so that no maximum moves to another place
  options.tolerance = 5e-3;
  CheckGradients(
      [](Builder& b) {
        LossOf(b, b.MaxPool2d(PerSample(b, "x", {5, 5, 2}, kNormal), Pool2dOptions::Square(3, 2, 1)));
      },
      options);
}

TEST(Gradient, AvgPool2d) {
  for (bool count_padding : {false, true}) {
    CheckGradients([&](Builder& b) {
      Pool2dOptions options = Pool2dOptions::Square(3, 2, 1);
      options.count_padding = count_padding;
      LossOf(b, b.AvgPool2d(PerSample(b, "x", {5, 5, 2}, kNormal), options));
    });
  }
}

TEST(Gradient, GlobalAvgPool) {
  CheckGradients([](Builder& b) { LossOf(b, b.GlobalAvgPool(PerSample(b, "x", {3, 2, 4}, kNormal))); });
}

Tensor BatchNormOf(Builder& b, Tensor x, int64_t channels) {
  return b.BatchNorm(x, b.Parameter("gamma", {channels}, kPositive), b.Parameter("beta", {channels}, kNormal),
                     b.State("mean", {channels}, 0), b.State("variance", {channels}, 1));
}

TEST(Gradient, BatchNorm) {
  CheckGradients([](Builder& b) { LossOf(b, BatchNormOf(b, PerSample(b, "x", {3, 2, 3}, kNormal), 3)); });
}

TEST(Gradient, BatchNormWithReluAndResidual) {
  GradcheckOptions options;
  options.step = 0.002;
  options.tolerance = 5e-3;
  for (bool residual : {false, true}) {
    CheckGradients(
        [&](Builder& b) {
          Tensor y = BatchNormOf(b, PerSample(b, "x", {3, 2, 3}, kNormal), 3);
          if (residual) y = b.Add(y, PerSample(b, "r", {3, 2, 3}, kNormal));
          LossOf(b, b.Relu(y));
        },
        options);
  }
}

TEST(Gradient, LayerNorm) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 6}, kNormal);
    LossOf(b, b.LayerNorm(x, b.Parameter("gamma", {6}, kPositive), b.Parameter("beta", {6}, kNormal)));
  });
}

TEST(Gradient, LayerNormBesideASkip) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 6}, kNormal);
    const Tensor y = b.LayerNorm(x, b.Parameter("gamma", {6}, kPositive), b.Parameter("beta", {6}, kNormal));
    LossOf(b, b.Add(x, b.Tanh(y)));
  });
}

TEST(Gradient, Embedding) {
  GradcheckOptions options;
  options.harness.label_limit = 5;
  CheckGradients(
      [](Builder& b) {
        const Tensor ids = b.Input("ids", DType::kI32, {4});
        LossOf(b, b.Embedding(ids, b.Parameter("table", {5, 3}, kNormal)));
      },
      options);
}

struct AttentionCase {
  const char* name;
  AttentionOptions options;
  bool packed, mask;
};

class AttentionGradient : public testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionGradient, MatchesDifferences) {
  GradcheckOptions options;
  options.harness.label_limit = 2;
  options.harness.micro_batch = 2;
  CheckGradients(
      [](Builder& b) {
        const AttentionCase& c = GetParam();
        const int64_t d = 4, t = 5, s = c.packed ? t : 6;
        const int64_t key_heads = c.options.key_heads == 0 ? c.options.heads : c.options.key_heads;
        const Tensor mask = c.mask ? b.Input("mask", DType::kU8, {s}) : Tensor{};
        if (c.packed) {
          const Tensor qkv = PerSample(b, "qkv", {t, (c.options.heads + 2 * key_heads) * d}, kNormal);
          return LossOf(b, b.AttentionPacked(qkv, c.options, mask));
        }
        const Tensor q = PerSample(b, "q", {t, c.options.heads * d}, kNormal);
        const Tensor k = PerSample(b, "k", {s, key_heads * d}, kNormal);
        LossOf(b, b.Attention(q, k, PerSample(b, "v", {s, key_heads * d}, kNormal), c.options, mask));
      },
      options);
}

INSTANTIATE_TEST_SUITE_P(
    All, AttentionGradient,
    testing::Values(AttentionCase{"CausalPacked", {.heads = 2, .causal = true}, true, false},
                    AttentionCase{"FullPacked", {.heads = 2}, true, false},
                    AttentionCase{"GroupedPacked", {.heads = 4, .key_heads = 2, .causal = true}, true, false},
                    AttentionCase{"Split", {.heads = 2, .scale = 0.3f}, false, false},
                    AttentionCase{
                        "SplitCausalGrouped", {.heads = 2, .key_heads = 1, .causal = true}, false, false},
                    AttentionCase{"MaskedPacked", {.heads = 1}, true, true},
                    AttentionCase{"MaskedSplit", {.heads = 2}, false, true}),
    [](const auto& info) { return info.param.name; });

TEST(Gradient, Rotary) {
  CheckGradients([](Builder& b) {
    const RotaryOptions options{.head_size = 6, .rotary_size = 4, .rotated_heads = 2, .base = 100};
    LossOf(b, b.Rotary(PerSample(b, "x", {5, 18}, kNormal), options));
  });
}

TEST(Gradient, ReshapeTransposeConcatSlice) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 6}, kNormal), y = PerSample(b, "y", {3, 2}, kNormal);
    const Tensor turned = b.Transpose(b.Reshape(x, {2, 3, -1}), {1, 2, 0});  // [3, 2, 2]
    const Tensor joined = b.Concat({b.Reshape(turned, {3, 4}), y, y}, -1);   // [3, 8]
    LossOf(b, b.Mul(b.Slice(joined, 1, 1, 6), b.Slice(b.Slice(joined, 0, 1, 1), -1, 2, 6)));
  });
}

TEST(Gradient, MeanAndSum) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 3, 4}, kNormal);
    LossOf(b, b.Mul(b.Mean(x, 0), b.Sum(b.Square(x), 0)));
  });
}

TEST(Gradient, CrossEntropy) {
  CheckGradients([](Builder& b) {
    const Tensor logits = PerSample(b, "x", {2, 4}, kNormal);
    b.Loss(b.CrossEntropy(logits, b.Input("label", DType::kI64, {2})));
  });
}

TEST(Gradient, CrossEntropyWithAMask) {
  GradcheckOptions options;
  options.harness.label_limit = 2;
  options.harness.micro_batch = 5;
  CheckGradients(
      [](Builder& b) {
        const Tensor logits = PerSample(b, "x", {2, 4}, kNormal);
        b.Loss(b.CrossEntropy(logits, b.Input("label", DType::kI32, {2}), b.Input("mask", DType::kU8, {2})));
      },
      options);
}

// A soft label of two classes.
TEST(Gradient, CrossEntropyWithShares) {
  CheckGradients([](Builder& b) {
    const Tensor logits = PerSample(b, "x", {2, 4}, kNormal);
    const Tensor share = b.Input("share", DType::kF32, {2});
    b.Loss(b.CrossEntropy(logits, b.Input("label", DType::kI64, {2}), {}, share));
    b.Loss(b.CrossEntropy(logits, b.Input("other", DType::kI64, {2}), {}, b.Shift(b.Neg(share), 1)));
  });
}

TEST(CrossEntropy, SharesOfTwoLabelsAreOneSoftLabel) {
  LaneHarness harness(
      [](Builder& b) {
        const Tensor logits = PerSample(b, "x", {4}, kNormal);
        const Tensor share = b.Input("share", DType::kF32, {});
        b.Loss(b.CrossEntropy(logits, b.Input("label", DType::kI64, {}), {}, share));
        b.Loss(b.CrossEntropy(logits, b.Input("other", DType::kI64, {}), {}, b.Shift(b.Neg(share), 1)));
      },
      HarnessOptions());
  ASSERT_TRUE(harness.ok());
  const auto input = [&](absl::string_view name) {
    const auto& inputs = harness.program().inputs();
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].name == name) return static_cast<int>(i);
    return -1;
  };
  auto* shares = reinterpret_cast<float*>(harness.input(input("share")).data());
  const auto* labels = reinterpret_cast<const int64_t*>(harness.input(input("label")).data());
  const auto* others = reinterpret_cast<const int64_t*>(harness.input(input("other")).data());
  const float given[] = {0.25f, 1, 0.5f};
  std::copy(given, given + 3, shares);
  const double got = harness.Run();
  double expected = 0, weights = 0;
  for (int i = 0; i < 3; ++i) {
    const float* x = harness.parameter("x").data() + 4 * i;
    double total = 0;
    for (int c = 0; c < 4; ++c) total += std::exp(static_cast<double>(x[c]));
    const double own = std::log(total) - x[labels[i]], its = std::log(total) - x[others[i]];
    expected += harness.sample_weights()[i] * (given[i] * own + (1 - given[i]) * its);
    weights += harness.sample_weights()[i];
  }
  EXPECT_NEAR(got, expected, 1e-5 * std::abs(expected));
  EXPECT_NEAR(harness.result().loss.weight, weights, 1e-5);
}

TEST(Gradient, MeanSquaredErrorOfBothSides) {
  CheckGradients([](Builder& b) {
    const Tensor target = PerSample(b, "target", {2, 3}, kNormal);
    b.Loss(b.MeanSquaredError(PerSample(b, "x", {2, 3}, kNormal), target));
  });
}

TEST(Gradient, SumOfSeveralLosses) {
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 4}, kNormal);
    b.Loss(b.CrossEntropy(x, b.Input("label", DType::kI64, {2})));
    b.Loss(b.MeanSquaredError(b.Mean(x, 0), b.Input("target", DType::kF32, {4})), 0.3f);
    b.Loss(b.Square(x), 0.01f);
  });
}

TEST(Gradient, TiedWeights) {
  CheckGradients([](Builder& b) {
    const Tensor table = b.Parameter("table", {4, 3}, kNormal);
    const Tensor x = b.Embedding(b.Input("ids", DType::kI64, {5}), table);
    b.Loss(b.CrossEntropy(b.Linear(b.Tanh(x), table), b.Input("label", DType::kI64, {5})));
  });
}

TEST(Gradient, ParameterThroughAView) {
  CheckGradients([](Builder& b) {
    const Tensor p = b.Parameter("p", {12}, kNormal);
    const Tensor w = b.Transpose(b.Reshape(p, {4, 3}), {1, 0});
    LossOf(b, b.Linear(PerSample(b, "x", {4}, kNormal), w, b.Slice(p, 0, 2, 3)));
  });
}

TEST(Gradient, GatedUnits) {  // programs that recompute
  CheckGradients([](Builder& b) {
    const Tensor x = PerSample(b, "x", {2, 4}, kNormal);
    const Tensor gate =
        b.Linear(x, b.Parameter("gate", {6, 4}, kNormal), b.Parameter("gate_bias", {6}, kNormal));
    const Tensor up = b.Linear(x, b.Parameter("up", {6, 4}, kNormal));
    LossOf(b, b.Linear(b.Mul(b.Silu(gate), up), b.Parameter("down", {3, 6}, kNormal)));
  });
}

}  // namespace
}  // namespace lockstep::graph
