// From the graph that trains to the one that evaluates.
#ifndef LOCKSTEP_RUNTIME_GRAPH_EVALUATION_H_
#define LOCKSTEP_RUNTIME_GRAPH_EVALUATION_H_

#include "runtime/graph/graph.h"

namespace lockstep::graph {

// `graph` (without gradients) with batch norms on their running statistics, without dropout and without
// updates of states. Layouts of parameters and states stay.
absl::StatusOr<Graph> ForEvaluation(Graph graph);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_EVALUATION_H_
