#include "runtime/graph/schedule.h"

#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace lockstep::graph {

absl::Status SortNodes(Graph& graph) {
  const size_t count = graph.nodes.size();
  std::vector<int> maker(graph.values.size(), -1);
  for (size_t n = 0; n < count; ++n) {
    for (ValueId id : graph.nodes[n].outputs) maker[id] = static_cast<int>(n);
  }
  std::vector<int> waiting(count, 0);
  std::vector<std::vector<int>> followers(count);
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  size_t kept = 0;
  for (size_t n = 0; n < count; ++n) {
    if (graph.nodes[n].outputs.empty()) continue;
    ++kept;
    for (ValueId id : graph.nodes[n].inputs) {
      const int before = maker[graph.Root(id)];
      if (before < 0) continue;
      followers[before].push_back(static_cast<int>(n));
      ++waiting[n];
    }
    if (waiting[n] == 0) ready.push(static_cast<int>(n));
  }
  std::vector<Node> sorted;
  while (!ready.empty()) {
    const int n = ready.top();
    ready.pop();
    for (int follower : followers[n]) {
      if (--waiting[follower] == 0) ready.push(follower);
    }
    Node& node = graph.nodes[n];
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      Value& value = graph.values[node.outputs[k]];
      value.index = static_cast<int>(sorted.size());
      value.output = static_cast<int>(k);
    }
    sorted.push_back(std::move(node));
  }
  if (sorted.size() != kept) return absl::InternalError("graph: nodes wait for each other in a circle");
  graph.nodes = std::move(sorted);
  return absl::OkStatus();
}

}  // namespace lockstep::graph
