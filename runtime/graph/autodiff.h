// Reverse-mode differentiation, as a transformation of the graph.
#ifndef LOCKSTEP_RUNTIME_GRAPH_AUTODIFF_H_
#define LOCKSTEP_RUNTIME_GRAPH_AUTODIFF_H_

#include "runtime/graph/graph.h"

namespace lockstep::graph {

// `graph` with the nodes that compute the gradient of the loss appended, and `gradients` filled. Nothing is
// computed that no parameter needs. Errors: ConfigError if there is no loss or it depends on no parameter;
// Unimplemented naming an operator on the way that has no derivative.
absl::StatusOr<Graph> AddGradients(Graph graph);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_AUTODIFF_H_
