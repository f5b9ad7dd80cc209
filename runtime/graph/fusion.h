// Fewer passes through memory: neighbouring operators become one.
//
// Each pass takes a graph and gives one that computes the same values (bits may differ where an operator sums
// in another order). Compile runs them in this order, or none of them with CompileOptions::fuse off.
#ifndef LOCKSTEP_RUNTIME_GRAPH_FUSION_H_
#define LOCKSTEP_RUNTIME_GRAPH_FUSION_H_

#include "runtime/graph/graph.h"

namespace lockstep::graph {

// Before autodiff. A batch norm takes in the residual addition and the relu that follow it.
absl::StatusOr<Graph> FuseNorms(Graph graph);

// After autodiff. The gradient of a layer norm takes in the addition of the gradient that flows past the
// norm; the weight gradient of a linear layer also sums its bias gradient.
absl::StatusOr<Graph> FuseGradients(Graph graph);

// After PrepareSinks (sinks.h). Elementwise programs that follow each other or a linear layer (forward or
// input gradient) become one program, or the layer's epilogue. A value that others still need becomes one
// more output.
absl::StatusOr<Graph> FuseElementwise(Graph graph);

// After FuseElementwise. A value that only one later program reads, and that follows cheaply from what that
// program reads anyway, is computed again there instead of being kept.
absl::StatusOr<Graph> RecomputeInsteadOfStore(Graph graph);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_FUSION_H_
