// Which memory each value of a graph uses.
#ifndef LOCKSTEP_RUNTIME_GRAPH_STORAGE_H_
#define LOCKSTEP_RUNTIME_GRAPH_STORAGE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/memory_plan.h"
#include "runtime/graph/parameter_layout.h"

namespace lockstep::graph {

// The buffers that a run works on. kArena is the runner's own; the others are LaneArgs'.
enum class Space : uint8_t { kArena, kParameters, kGradients, kStates, kStateDeltas, kSampleWeights, kInput };
inline constexpr int kSpaces = 7;

struct Location {
  Space space = Space::kArena;
  int input = 0;            // which, for kInput
  size_t offset_bytes = 0;  // within the space
};

struct Storage {
  std::vector<Location> values;   // by value; views lie where their roots lie
  std::vector<Location> scratch;  // by node
  std::vector<int> buffers;       // by value: the arena buffer of a root, or -1. Values that reuse an input's
                                  // memory (in place) have the same buffer
  std::vector<BufferLife> lives;  // by buffer; steps are nodes
  MemoryPlan plan;
};

// Lets outputs take over the memory of inputs that end there (kernels::InPlaceInputs), then plans the arena.
// Scratch of node n lives during n. Values named by Graph::Roots live to the end. `scratch_bytes` has one
// entry a node.
Storage PlanStorage(const Graph& graph, const ParameterLayout& parameters, const StateLayout& states,
                    absl::Span<const size_t> scratch_bytes);

// Replays the graph on `storage`: every input must still hold what was written to it when it is read, outputs
// and scratch must overlap nothing that is still needed, and inputs only as the operator allows. For tests.
// Error: Internal.
absl::Status CheckStorage(const Graph& graph, const Storage& storage, absl::Span<const size_t> scratch_bytes);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_STORAGE_H_
