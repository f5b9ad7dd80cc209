// Gradients and state deltas that operators write straight into the caller's buffers.
//
// A sink is a value whose memory is not in the arena but in the flat buffer of gradients (or of state
// deltas). The first node of a run that writes a parameter's gradient stores, later ones (tied weights) and
// later micro-batches add: KernelArgs::accumulate.
#ifndef LOCKSTEP_RUNTIME_GRAPH_SINKS_H_
#define LOCKSTEP_RUNTIME_GRAPH_SINKS_H_

#include <vector>

#include "runtime/graph/graph.h"

namespace lockstep::graph {

// `graph` such that every gradient contribution and state delta is (a view of) a node's output that nobody
// else reads, of an operator that can add to it, whose other used outputs that would be added to as well are
// sinks too, and not of the same parameter. Where that is not so, a copying node is put in between. Error:
// Internal.
absl::StatusOr<Graph> PrepareSinks(Graph graph);

// By value: number of the parameter (>= 0), or -1 - number of the state, for sinks; kNoSink for others.
inline constexpr int kNoSink = 1 << 30;
std::vector<int> SinkTargets(const Graph& graph);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_SINKS_H_
