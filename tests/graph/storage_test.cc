#include "runtime/graph/storage.h"

#include <gtest/gtest.h>

#include <numeric>

#include "kernels/kernel.h"
#include "runtime/graph/autodiff.h"
#include "runtime/graph/builder.h"
#include "runtime/graph/fusion.h"
#include "runtime/graph/sinks.h"
#include "tests/graph/models.h"

namespace lockstep::graph {
namespace {

absl::StatusOr<Graph> TrainingGraph(uint64_t seed, bool fuse) {
  Builder b(2);
  RandomModel(b, seed);
  ASSIGN_OR_RETURN(Graph graph, std::move(b).Finish());
  if (fuse) {
    ASSIGN_OR_RETURN(graph, FuseNorms(std::move(graph)));
  }
  ASSIGN_OR_RETURN(graph, AddGradients(std::move(graph)));
  RemoveDeadNodes(graph);
  if (fuse) {
    ASSIGN_OR_RETURN(graph, FuseGradients(std::move(graph)));
  }
  ASSIGN_OR_RETURN(graph, PrepareSinks(std::move(graph)));
  if (fuse) {
    ASSIGN_OR_RETURN(graph, FuseElementwise(std::move(graph)));
    ASSIGN_OR_RETURN(graph, RecomputeInsteadOfStore(std::move(graph)));
  }
  RETURN_IF_ERROR(Validate(graph));
  return graph;
}

std::vector<size_t> ScratchOf(const Graph& graph) {
  std::vector<size_t> scratch;
  for (const Node& node : graph.nodes) {
    const auto kernel = kernels::MakeKernel(kernels::Device::kCpu, graph.SpecOf(node));
    EXPECT_TRUE(kernel.ok()) << kernel.status();
    scratch.push_back(kernel.ok() ? (*kernel)->scratch_bytes() : 0);
  }
  return scratch;
}

Storage PlanOf(const Graph& graph, const std::vector<size_t>& scratch) {
  std::vector<int> order(graph.parameters.size());
  std::iota(order.begin(), order.end(), 0);
  return PlanStorage(graph, MakeParameterLayout(graph, order), MakeStateLayout(graph), scratch);
}

TEST(Storage, OfRandomGraphsHoldsWhatIsStillNeeded) {
  for (uint64_t seed = 0; seed < 120; ++seed) {
    for (bool fuse : {false, true}) {
      SCOPED_TRACE(absl::StrCat("seed ", seed, fuse ? " fused" : ""));
      const absl::StatusOr<Graph> graph = TrainingGraph(seed, fuse);
      ASSERT_TRUE(graph.ok()) << graph.status();
      const std::vector<size_t> scratch = ScratchOf(*graph);
      const Storage storage = PlanOf(*graph, scratch);
      ASSERT_TRUE(CheckMemoryPlan(storage.lives, storage.plan).ok());
      ASSERT_TRUE(CheckStorage(*graph, storage, scratch).ok()) << CheckStorage(*graph, storage, scratch);
    }
  }
}

TEST(CheckStorage, NoticesAValueThatIsOverwritten) {
  const absl::StatusOr<Graph> graph = TrainingGraph(5, true);
  ASSERT_TRUE(graph.ok());
  const std::vector<size_t> scratch = ScratchOf(*graph);
  const Storage storage = PlanOf(*graph, scratch);
  int noticed = 0, moved = 0;
  for (size_t id = 0; id < storage.values.size();
       ++id) {  // each arena value in turn to the start of the arena
    if (storage.buffers[id] < 0 || storage.values[id].offset_bytes == 0) continue;
    Storage broken = storage;
    broken.values[id].offset_bytes = 0;
    ++moved;
    noticed += CheckStorage(*graph, broken, scratch).ok() ? 0 : 1;
  }
  EXPECT_GT(moved, 10);
  EXPECT_GT(noticed, moved / 2);
}

TEST(Storage, ReluRunsInPlace) {
  Builder b(2);
  const Tensor w = b.Parameter("w", {4, 4}, Initializer::Zeros());
  b.Loss(b.Linear(b.Relu(b.Linear(b.Input("x", DType::kF32, {4}), w)), w));
  auto graph = std::move(b).Finish();
  ASSERT_TRUE(graph.ok());
  graph = AddGradients(*std::move(graph));
  ASSERT_TRUE(graph.ok());
  const Storage storage = PlanOf(*graph, std::vector<size_t>(graph->nodes.size(), 0));
  EXPECT_EQ(storage.buffers[graph->nodes[1].outputs[0]], storage.buffers[graph->nodes[0].outputs[0]]);
}

}  // namespace
}  // namespace lockstep::graph
