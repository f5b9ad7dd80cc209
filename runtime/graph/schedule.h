// Order of nodes after a pass has merged some.
#ifndef LOCKSTEP_RUNTIME_GRAPH_SCHEDULE_H_
#define LOCKSTEP_RUNTIME_GRAPH_SCHEDULE_H_

#include "runtime/graph/graph.h"

namespace lockstep::graph {

// Puts nodes in an order in which they can run that keeps the present order as far as possible, drops nodes
// without outputs, and renews Value::index. Error: Internal, for a cycle.
absl::Status SortNodes(Graph& graph);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_SCHEDULE_H_
