// The broadcasting rules of elementwise programs (kernels/program.h), seen from the graph: what to reduce in
// the backward pass.
#ifndef LOCKSTEP_RUNTIME_GRAPH_BROADCASTING_H_
#define LOCKSTEP_RUNTIME_GRAPH_BROADCASTING_H_

#include <optional>

#include "kernels/ops.h"
#include "runtime/core/shape.h"

namespace lockstep::graph {

// `shape` is a suffix of `full`, leading ones of `shape` not counted.
inline bool IsSuffix(const Shape& shape, const Shape& full) {
  int first = 0;
  while (first < shape.rank() && shape[first] == 1) ++first;
  const int rank = shape.rank() - first;
  if (rank > full.rank()) return false;
  for (int i = 1; i <= rank; ++i) {
    if (shape[-i] != full[-i]) return false;
  }
  return true;
}

// `shape` is `full` with some trailing dimensions replaced by ones.
inline bool HasTrailingOnes(const Shape& shape, const Shape& full) {
  if (shape.rank() != full.rank()) return false;
  int i = 0;
  while (i < shape.rank() && shape[i] == full[i]) ++i;
  for (; i < shape.rank(); ++i) {
    if (shape[i] != 1) return false;
  }
  return true;
}

// The sum that takes a gradient of shape `full` back to a broadcast input of `shape`; its transpose
// (kBroadcast with the same attributes) is the broadcast itself. Nothing if the shapes do not broadcast.
inline std::optional<kernels::ReduceAttributes> BroadcastReduction(const Shape& shape, const Shape& full) {
  const int64_t elements = shape.NumElements(), all = full.NumElements();
  kernels::ReduceAttributes reduce;
  reduce.output_shape = shape;
  if (elements == 1 || IsSuffix(shape, full)) {
    reduce.reduce = elements == 0 ? 0 : all / elements;
    reduce.inner = elements;
    return reduce;
  }
  if (!HasTrailingOnes(shape, full)) return std::nullopt;
  reduce.outer = elements;
  reduce.reduce = all / elements;
  return reduce;
}

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_BROADCASTING_H_
