#include "runtime/graph/fusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "runtime/graph/autodiff.h"
#include "runtime/graph/builder.h"
#include "runtime/graph/program_merge.h"
#include "runtime/graph/sinks.h"
#include "tests/graph/models.h"

namespace lockstep::graph {
namespace {

using kernels::OpKind;
using kernels::ProgramOp;

std::map<OpKind, int> KindsOf(const Graph& graph) {
  std::map<OpKind, int> kinds;
  for (const Node& node : graph.nodes) ++kinds[node.kind];
  return kinds;
}

Graph Built(const ModelFunction& model) {
  Builder b(2);
  model(b);
  absl::StatusOr<Graph> graph = std::move(b).Finish();
  EXPECT_TRUE(graph.ok()) << graph.status();
  return graph.ok() ? *std::move(graph) : Graph{};
}

Graph Fused(const ModelFunction& model) {
  Graph graph = *FuseNorms(Built(model));
  graph = *AddGradients(std::move(graph));
  RemoveDeadNodes(graph);
  graph = *PrepareSinks(*FuseGradients(std::move(graph)));
  graph = *RecomputeInsteadOfStore(*FuseElementwise(std::move(graph)));
  EXPECT_TRUE(Validate(graph).ok()) << Validate(graph);
  return graph;
}

TEST(Fusion, AFeedForwardBlockIsMatrixProductsOnly) {
  const Graph graph = Fused([](Builder& b) {
    Tensor x = b.Input("x", DType::kF32, {3, 8});
    x = b.Add(x, Dense(b, "in", x, 8));
    x = b.Add(x, Dense(b, "down", b.Gelu(Dense(b, "up", x, 32)), 8));
    const Tensor label = b.Input("label", DType::kI64, {3});
    b.Loss(b.CrossEntropy(x, label));
  });
  std::map<OpKind, int> kinds = KindsOf(graph);
  EXPECT_EQ(kinds[OpKind::kLinear], 3);
  EXPECT_EQ(kinds[OpKind::kLinearInputGrad], 2);
  EXPECT_EQ(kinds[OpKind::kLinearWeightGrad], 3);
  EXPECT_EQ(kinds[OpKind::kReduceSum], 1);    // the sum of the weights: bias gradients ride along
  EXPECT_EQ(kinds[OpKind::kElementwise], 2);  // row weights and the constant that starts the backward pass
}

TEST(Fusion, BatchNormTakesInResidualAndRelu) {
  const Graph graph = *FuseNorms(Built(TinyCnn));
  int with_both = 0, with_relu = 0;
  for (const Node& node : graph.nodes) {
    if (node.kind != OpKind::kBatchNorm) continue;
    const auto& attributes = std::get<kernels::NormAttributes>(node.attributes);
    with_both += attributes.relu && attributes.residual ? 1 : 0;
    with_relu += attributes.relu && !attributes.residual ? 1 : 0;
  }
  EXPECT_EQ(with_both, 1);
  EXPECT_EQ(with_relu, 2);
  EXPECT_TRUE(Validate(graph).ok()) << Validate(graph);
}

TEST(Fusion, LayerNormGradientTakesInTheSkip) {
  const Graph graph = Fused(TinyGpt);
  int with_skip = 0;
  for (const Node& node : graph.nodes) {
    if (node.kind == OpKind::kLayerNormGrad) {
      with_skip += std::get<kernels::NormAttributes>(node.attributes).residual ? 1 : 0;
    }
  }
  EXPECT_EQ(with_skip, 4);  // two a block; the last norm has none beside it
}

TEST(Fusion, AGateIsComputedAgainInsteadOfKept) {
  const auto model = [](Builder& b) {
    const Tensor x = b.Input("x", DType::kF32, {8});
    const Tensor gate = Dense(b, "gate", x, 16, false), up = Dense(b, "up", x, 16, false);
    b.Loss(b.Mul(b.Silu(gate), up));
  };
  Graph graph = *AddGradients(Built(model));
  RemoveDeadNodes(graph);
  graph = *FuseElementwise(*PrepareSinks(*FuseGradients(std::move(graph))));
  const auto count_outputs = [](const Graph& g) {
    size_t outputs = 0;
    for (const Node& node : g.nodes) outputs += node.outputs.size();
    return outputs;
  };
  const size_t before = count_outputs(graph);
  graph = *RecomputeInsteadOfStore(std::move(graph));
  EXPECT_EQ(count_outputs(graph), before - 1);  // silu(gate) is gone
}

TEST(Merge, EqualInstructionsBecomeOne) {
  BoundProgram first, second;
  first.inputs = {10};
  first.outputs = {20};
  first.program.Append({.op = ProgramOp::kLoad, .a = 0});
  first.program.outputs = {first.program.Append({.op = ProgramOp::kTanh, .a = 0})};
  second.inputs = {10, 20};
  second.outputs = {30};
  second.program.Append({.op = ProgramOp::kLoad, .a = 0});
  second.program.Append({.op = ProgramOp::kLoad, .a = 1});
  second.program.Append({.op = ProgramOp::kTanh, .a = 0});
  second.program.outputs = {second.program.Append({.op = ProgramOp::kAdd, .a = 1, .b = 2})};
  const BoundProgram merged = Merge(first, second, {false});
  EXPECT_EQ(merged.inputs, std::vector<ValueId>{10});
  EXPECT_EQ(merged.outputs, std::vector<ValueId>{30});
  ASSERT_EQ(merged.program.instructions.size(), 3u);  // load, tanh, tanh + tanh
  EXPECT_EQ(merged.program.instructions[2].a, merged.program.instructions[2].b);
}

TEST(Autodiff, ComputesNoGradientOfInputs) {
  Graph graph = *AddGradients(Built(TinyMlp));
  RemoveDeadNodes(graph);
  EXPECT_EQ(KindsOf(graph)[OpKind::kLinearInputGrad], 1);  // of fc2 only: x needs none
  EXPECT_EQ(KindsOf(graph)[OpKind::kLinearWeightGrad], 2);
}

TEST(Autodiff, ALossThroughAnOperatorWithoutDerivativeIsRefused) {
  const Graph graph = Built([](Builder& b) {
    const Tensor x = Dense(b, "fc", b.Input("x", DType::kF32, {3}), 4);
    b.Loss(b.Accuracy(x, b.Input("label", DType::kI64, {})));
  });
  EXPECT_THAT(AddGradients(graph).status().message(), testing::HasSubstr("depends on no parameter"));
}

TEST(Graph, ValidateFindsAUseBeforeTheDefinition) {
  Graph graph = Built(TinyMlp);
  std::swap(graph.nodes.front(), graph.nodes.back());
  EXPECT_FALSE(Validate(graph).ok());
}

}  // namespace
}  // namespace lockstep::graph
