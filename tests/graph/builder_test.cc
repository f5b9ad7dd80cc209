#include "runtime/graph/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <utility>

namespace lockstep::graph {
namespace {

using testing::HasSubstr;

TEST(Builder, ShapesOmitTheMicroBatch) {
  Builder b(5);
  const Tensor x = b.Input("x", DType::kF32, {8, 6, 3});
  EXPECT_EQ(b.shape(x), (Shape{8, 6, 3}));
  const Tensor w = b.Parameter("w", {4, 3, 3, 3}, Initializer::Zeros());
  const Tensor y = b.Conv2d(x, w, {}, Conv2dOptions::Square(2, 1));
  EXPECT_EQ(b.shape(y), (Shape{4, 3, 4}));
  EXPECT_EQ(b.shape(b.Flatten(y)), (Shape{48}));
  EXPECT_EQ(b.shape(b.Reshape(y, {-1, 4})), (Shape{12, 4}));
  EXPECT_EQ(b.shape(b.Transpose(y, {2, 0, 1})), (Shape{4, 4, 3}));
  EXPECT_EQ(b.shape(b.Slice(y, -1, 1, 2)), (Shape{4, 3, 2}));
  EXPECT_EQ(b.shape(b.Mean(y, 0)), (Shape{3, 4}));
  EXPECT_FALSE(b.batched(b.Slice(w, 0, 0, 1)));
  const auto graph = std::move(b).Finish();
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->inputs[0].type.shape, (Shape{5, 8, 6, 3}));
  EXPECT_TRUE(Validate(*graph).ok());
}

TEST(Builder, ScopesNameTensors) {
  Builder b(1);
  {
    auto model = b.Scope("model");
    for (int i = 0; i < 2; ++i) {
      auto block = b.Scope("block", i);
      b.Parameter("weight", {1}, Initializer::Ones());
    }
    b.State("mean", {2}, 0);
  }
  b.Parameter("weight", {1}, Initializer::Ones());
  const auto graph = std::move(b).Finish();
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->parameters[0].name, "model.block.0.weight");
  EXPECT_EQ(graph->parameters[1].name, "model.block.1.weight");
  EXPECT_EQ(graph->parameters[2].name, "weight");
  EXPECT_EQ(graph->states[0].name, "model.mean");
}

TEST(Builder, ReshapeMakesNoNode) {
  Builder b(2);
  const Tensor x = b.Input("x", DType::kF32, {6});
  b.Reshape(b.Reshape(x, {2, 3}), {3, 2});
  const auto graph = std::move(b).Finish();
  ASSERT_TRUE(graph.ok());
  EXPECT_TRUE(graph->nodes.empty());
}

TEST(Builder, TheFirstErrorIsKeptAndLaterOnesAreNot) {
  Builder b(2);
  const Tensor x = b.Input("x", DType::kF32, {6});
  auto scope = b.Scope("head");
  const Tensor bad = b.Linear(x, b.Parameter("w", {3, 5}, Initializer::Zeros()));
  EXPECT_FALSE(bad.valid());
  EXPECT_FALSE(b.Relu(bad).valid());
  b.Loss(b.Add(bad, x));
  const auto graph = std::move(b).Finish();
  EXPECT_THAT(graph.status().message(), HasSubstr("linear in 'head' of F32[6], F32[3, 5]"));
  EXPECT_EQ(TroubleOf(graph.status()), Trouble::kConfig);
}

// What each misuse must say.
struct ErrorCase {
  const char* name;
  std::function<void(Builder&)> build;
  const char* message;
};

class BuilderError : public testing::TestWithParam<ErrorCase> {};

TEST_P(BuilderError, NamesTheOperatorTheShapesAndTheTrouble) {
  Builder b(4);
  auto scope = b.Scope("block", 3);
  GetParam().build(b);
  EXPECT_FALSE(b.ok());
  EXPECT_THAT(b.error().message(), HasSubstr(GetParam().message));
}

Tensor In(Builder& b, const Shape& shape) { return b.Input(shape.ToString(), DType::kF32, shape); }
Tensor P(Builder& b, const Shape& shape) {
  return b.Parameter(shape.ToString(), shape, Initializer::Zeros());
}

INSTANTIATE_TEST_SUITE_P(
    All, BuilderError,
    testing::Values(
        ErrorCase{"AddShapes",
                  [](Builder& b) {
                    b.Add(In(b, {2, 3}), In(b, {2, 4}));
                  },
                  "add in 'block.3' of F32[2, 3], F32[2, 4]: the shapes do not go together"},
        ErrorCase{"MatMulInner",
                  [](Builder& b) {
                    b.MatMul(In(b, {2, 3}), P(b, {4, 5}));
                  },
                  "matmul in 'block.3'"},
        ErrorCase{"MatMulSamples",
                  [](Builder& b) {
                    b.MatMul(P(b, {2, 3}), In(b, {3, 5}));
                  },
                  "depends on the sample"},
        ErrorCase{"LinearBias",
                  [](Builder& b) {
                    b.Linear(In(b, {3}), P(b, {2, 3}), P(b, {3}));
                  },
                  "needs a bias [out]"},
        ErrorCase{"ConvRank",
                  [](Builder& b) {
                    b.Conv2d(In(b, {3, 3}), P(b, {1, 1, 1, 1}), {}, {});
                  },
                  "needs x [H, W, C]"},
        ErrorCase{"ConvChannels",
                  [](Builder& b) {
                    b.Conv2d(In(b, {4, 4, 3}), P(b, {2, 4, 1, 1}), {}, {});
                  },
                  "conv2d in 'block.3' of F32[4, 4, 3], F32[2, 4, 1, 1]"},
        ErrorCase{"PoolTooLarge",
                  [](Builder& b) {
                    b.MaxPool2d(In(b, {2, 2, 1}), Pool2dOptions::Square(3, 1));
                  },
                  "max_pool2d in 'block.3'"},
        ErrorCase{"LayerNorm",
                  [](Builder& b) {
                    const Tensor p = P(b, {3});
                    b.LayerNorm(In(b, {3, 4}), p, p);
                  },
                  "needs x [.., C], gamma [C] and beta [C]"},
        ErrorCase{"BatchNormStates",
                  [](Builder& b) {
                    const Tensor p = P(b, {4});
                    b.BatchNorm(In(b, {3, 4}), p, p, p, p);
                  },
                  "must be made by State"},
        ErrorCase{"EmbeddingOfFloats",
                  [](Builder& b) {
                    b.Embedding(In(b, {3}), P(b, {5, 2}));
                  },
                  "embedding in 'block.3' of F32[3], F32[5, 2]"},
        ErrorCase{"AttentionHeads",
                  [](Builder& b) {
                    b.AttentionPacked(In(b, {5, 10}), {.heads = 4});
                  },
                  "with 4 heads"},
        ErrorCase{"Rotary",
                  [](Builder& b) {
                    b.Rotary(In(b, {5, 10}), {.head_size = 4});
                  },
                  "needs x [T, heads * 4]"},
        ErrorCase{"DropoutRate", [](Builder& b) { b.Dropout(In(b, {5}), 1.5f); },
                  "the rate must be in [0, 1)"},
        ErrorCase{"DropoutOfParameter", [](Builder& b) { b.Dropout(P(b, {5}), 0.5f); },
                  "depends on the sample"},
        ErrorCase{"Reshape",
                  [](Builder& b) {
                    b.Reshape(In(b, {6}), {4, -1});
                  },
                  "cannot make [4, -1] of 6 elements"},
        ErrorCase{"Transpose",
                  [](Builder& b) {
                    b.Transpose(In(b, {6, 2}), {0, 0});
                  },
                  "needs each axis once"},
        ErrorCase{"ConcatShapes",
                  [](Builder& b) {
                    b.Concat({In(b, {6, 2}), In(b, {5, 3})}, 1);
                  },
                  "concat in 'block.3' of F32[6, 2], F32[5, 3]"},
        ErrorCase{"SliceRange", [](Builder& b) { b.Slice(In(b, {6}), 0, 4, 3); }, "is not within axis 0"},
        ErrorCase{"SliceAxis", [](Builder& b) { b.Slice(In(b, {6}), 1, 0, 1); }, "there is no axis 1"},
        ErrorCase{"LabelShape",
                  [](Builder& b) {
                    b.CrossEntropy(In(b, {5, 7}), b.Input("label", DType::kI64, {}));
                  },
                  "needs logits [.., V] and labels [..]"},
        ErrorCase{"LabelType", [](Builder& b) { b.CrossEntropy(In(b, {7}), In(b, {})); },
                  "cross_entropy in 'block.3'"},
        ErrorCase{"LossOfParameter", [](Builder& b) { b.Loss(P(b, {7})); },
                  "needs the result of a loss function"},
        ErrorCase{"MetricTwice",
                  [](Builder& b) {
                    const Tensor x = In(b, {});
                    b.Metric("m", x);
                    b.Metric("m", x);
                  },
                  "there is already a metric 'm'"},
        ErrorCase{"NameTwice",
                  [](Builder& b) {
                    P(b, {2});
                    P(b, {2});
                  },
                  "there is already a tensor 'block.3.[2]'"},
        ErrorCase{"InputTwice",
                  [](Builder& b) {
                    In(b, {2});
                    In(b, {2});
                  },
                  "there is already an input '[2]'"},
        ErrorCase{"InputCalledWeight", [](Builder& b) { b.Input("weight", DType::kF32, {}); }, "is taken"},
        ErrorCase{"ForeignTensor", [](Builder& b) { b.Relu({77}); },
                  "operand 0 is not a tensor of this builder"},
        ErrorCase{"DoubleOfALoss",
                  [](Builder& b) {
                    b.Relu(b.MeanSquaredError(In(b, {2}), b.Relu(In(b, {2, 1}))));
                  },
                  "mean_squared_error in 'block.3'"},
        ErrorCase{"ArithmeticOnALoss",
                  [](Builder& b) {
                    const Tensor x = In(b, {2});
                    b.Scale(b.MeanSquaredError(x, x), 2);
                  },
                  "goes to Loss or Metric only"}),
    [](const auto& info) { return info.param.name; });

TEST(Builder, RefusesAMicroBatchOfNothing) {
  Builder b(0);
  EXPECT_THAT(b.error().message(), HasSubstr("the micro-batch must be at least 1, not 0"));
}

TEST(Builder, LossesOverDifferentMasksDoNotAdd) {
  Builder b(2);
  const Tensor x = In(b, {3, 4}), label = b.Input("label", DType::kI64, {3});
  b.Loss(b.CrossEntropy(x, label));
  b.Loss(b.CrossEntropy(x, label, b.Input("mask", DType::kU8, {3})));
  EXPECT_THAT(b.error().message(), HasSubstr("losses over different masks cannot be added"));
}

}  // namespace
}  // namespace lockstep::graph
