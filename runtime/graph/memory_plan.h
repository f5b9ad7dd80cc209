// Where each buffer lies in one arena, from how long it is needed. Pure functions, no memory is touched.
#ifndef LOCKSTEP_RUNTIME_GRAPH_MEMORY_PLAN_H_
#define LOCKSTEP_RUNTIME_GRAPH_MEMORY_PLAN_H_

#include <cstddef>
#include <vector>

#include "absl/types/span.h"
#include "runtime/core/status.h"

namespace lockstep::graph {

// A buffer that holds something from step `first` to step `last`, both included.
struct BufferLife {
  size_t size_bytes = 0;
  int first = 0, last = 0;
};

struct MemoryPlan {
  std::vector<size_t> offsets_bytes;  // one a buffer, multiples of 64
  size_t arena_bytes = 0;
  size_t naive_bytes = 0;  // the sum of all buffers: an arena without reuse
  size_t peak_bytes = 0;   // the most that is needed at one step: no arena can be smaller
};

// Greedy by size: the largest buffer first, each into the smallest gap that fits between the buffers that
// live at the same time (as in Pisarchyk, Lee, "Efficient memory management for deep neural net inference",
// arXiv:2001.03288).
MemoryPlan PlanMemory(absl::Span<const BufferLife> buffers);

// Error: Internal, naming two buffers that live at the same time and overlap, or one that is misaligned or
// outside.
absl::Status CheckMemoryPlan(absl::Span<const BufferLife> buffers, const MemoryPlan& plan);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_MEMORY_PLAN_H_
