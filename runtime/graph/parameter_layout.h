// Where each parameter lies in the flat fp32 buffers of parameters and of gradients.
#ifndef LOCKSTEP_RUNTIME_GRAPH_PARAMETER_LAYOUT_H_
#define LOCKSTEP_RUNTIME_GRAPH_PARAMETER_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/graph/graph.h"

namespace lockstep::graph {

// Entries are in the order in which backward completes the gradients (first complete, first), so that a
// bucket of gradients that can be reduced early is one contiguous range. Offsets are multiples of 16 elements
// (64 bytes); the padding between entries is zero in every buffer of this layout, and stays zero. Immutable
// once made.
struct ParameterLayout {
  struct Entry {
    std::string name;
    Shape shape;
    Initializer initializer;
    size_t offset = 0;    // elements from the start of the buffer
    size_t elements = 0;  // without padding
  };

  std::vector<Entry> entries;
  size_t total_elements = 0;      // of a buffer, padding included
  size_t parameter_elements = 0;  // without padding

  // Index of the entry called `name`, or -1.
  int Find(absl::string_view name) const;
};

// The same for states (batch norm's running statistics), in the order of their making.
struct StateLayout {
  struct Entry {
    std::string name;
    Shape shape;
    float initial = 0;
    size_t offset = 0, elements = 0;
  };

  std::vector<Entry> entries;
  size_t total_elements = 0;

  int Find(absl::string_view name) const;
};

// Writes the initial values of a run with `seed`; padding becomes zero. `out` has total_elements.
void InitializeParameters(const ParameterLayout& layout, uint64_t seed, absl::Span<float> out);
void InitializeStates(const StateLayout& layout, absl::Span<float> out);

// Layout of a graph's parameters in the given order (indices into graph.parameters).
ParameterLayout MakeParameterLayout(const Graph& graph, absl::Span<const int> order);
StateLayout MakeStateLayout(const Graph& graph);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_PARAMETER_LAYOUT_H_
