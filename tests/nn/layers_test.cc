#include "runtime/nn/layers.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::nn {
namespace {

using graph::Builder;
using graph::Initializer;
using graph::Tensor;
using ::testing::HasSubstr;

// The parameter called `name` of what `b` has built.
graph::Parameter Find(const graph::Graph& graph, const std::string& name) {
  for (const graph::Parameter& parameter : graph.parameters) {
    if (parameter.name == name) return parameter;
  }
  ADD_FAILURE() << "no parameter " << name;
  return {};
}

std::string Mistake(Builder& b) {
  EXPECT_EQ(ExitCodeOf(b.error()), 2) << b.error();
  return std::string(b.error().message());
}

TEST(Layers, LinearNamesShapesAndInitialisesAsTorch) {
  Builder b(2);
  const Tensor y = Linear(b, "fc", b.Input("x", DType::kF32, {3, 16}), 5);
  EXPECT_EQ(b.shape(y), (Shape{3, 5}));
  const auto graph = std::move(b).Finish();
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(Find(*graph, "fc.weight").shape, (Shape{5, 16}));
  EXPECT_EQ(Find(*graph, "fc.weight").initializer, Initializer::Uniform(0.25f));
  EXPECT_EQ(Find(*graph, "fc.bias").initializer, Initializer::Uniform(0.25f));
}

TEST(Layers, ConvolutionKeepsTheSizeUnlessTold) {
  Builder b(2);
  const Tensor x = b.Input("x", DType::kF32, {9, 7, 4});
  EXPECT_EQ(b.shape(Conv2d(b, "a", x, 6, 3)), (Shape{9, 7, 6}));
  EXPECT_EQ(b.shape(Conv2d(b, "b", x, 6, 3, {.dilation = 2})), (Shape{9, 7, 6}));
  EXPECT_EQ(b.shape(Conv2d(b, "c", x, 6, 3, {.stride = 2})), (Shape{5, 4, 6}));
  EXPECT_EQ(b.shape(Conv2d(b, "d", x, 6, 3, {.padding = 0, .groups = 2, .bias = false})), (Shape{7, 5, 6}));
  const auto graph = std::move(b).Finish();
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(Find(*graph, "a.weight").shape, (Shape{6, 4, 3, 3}));
  EXPECT_EQ(Find(*graph, "a.weight").initializer, FanInUniform(36));
  EXPECT_EQ(Find(*graph, "d.weight").shape, (Shape{6, 2, 3, 3}));
  EXPECT_EQ(graph->parameters.size(), 7u);
}

TEST(Layers, ConvolutionLargerThanItsInput) {
  Builder b(2);
  auto scope = b.Scope("stem");
  Conv2d(b, "conv", b.Input("x", DType::kF32, {4, 4, 1}), 8, 5, {.padding = 0});
  EXPECT_THAT(Mistake(b), HasSubstr("in 'stem.conv': kernel 5 is larger than the 4x4 input"));
}

TEST(Layers, ConvolutionWhoseGroupsDoNotDivide) {
  Builder b(2);
  Conv2d(b, "conv", b.Input("x", DType::kF32, {4, 4, 3}), 8, 3, {.groups = 2});
  EXPECT_THAT(Mistake(b), HasSubstr("groups 2 must divide the 3 channels"));
}

TEST(Layers, ParameterTooLargeForAnyMemory) {
  Builder b(1);
  const Tensor x = b.Input("x", DType::kF32, {1, 1, 2147483647});
  Conv2d(b, "conv", x, 2147483647, 2147483647, {.padding = 1 << 30});
  EXPECT_THAT(Mistake(b), HasSubstr("too large"));
}

TEST(Layers, BatchNormHasStatesOfTorchsNames) {
  Builder b(2);
  BatchNorm(b, "bn1", b.Input("x", DType::kF32, {4, 4, 3}));
  const auto graph = std::move(b).Finish();
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_EQ(graph->states.size(), 2u);
  EXPECT_EQ(graph->states[0].name, "bn1.running_mean");
  EXPECT_EQ(graph->states[1].name, "bn1.running_var");
  EXPECT_EQ(graph->states[1].initial, 1);
  EXPECT_EQ(Find(*graph, "bn1.weight").initializer, Initializer::Ones());
}

TEST(Layers, EmbeddingOfFloats) {
  Builder b(2);
  Embedding(b, "wte", b.Input("x", DType::kF32, {4}), 10, 8);
  EXPECT_THAT(Mistake(b), HasSubstr("wants integer ids; its input is F32[4]"));
}

TEST(Layers, PositionsShorterThanTheInput) {
  Builder b(2);
  LearnedPositions(b, "wpe", b.Input("x", DType::kF32, {9, 4}), 8, 1);
  EXPECT_THAT(Mistake(b), HasSubstr("the input is 9 long, but there are positions for 8"));
}

TEST(Layers, AttentionWhoseHeadsDoNotDivide) {
  Builder b(2);
  SelfAttention(b, "attn", b.Input("x", DType::kF32, {9, 10}), {.heads = 3});
  EXPECT_THAT(Mistake(b), HasSubstr("heads 3 must divide the width 10"));
}

TEST(Layers, RotaryWantsEvenHeads) {
  Builder b(2);
  SelfAttention(b, "attn", b.Input("x", DType::kF32, {9, 10}), {.heads = 2, .rotary = true});
  EXPECT_THAT(Mistake(b), HasSubstr("even head size"));
}

}  // namespace
}  // namespace lockstep::nn
