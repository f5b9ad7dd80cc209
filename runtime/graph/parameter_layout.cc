#include "runtime/graph/parameter_layout.h"

#include <algorithm>

#include "runtime/core/aligned_buffer.h"

namespace lockstep::graph {
namespace {

constexpr size_t kAlignmentElements = kAlignmentBytes / sizeof(float);

template <typename Entries>
int FindIn(const Entries& entries, absl::string_view name) {
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

int ParameterLayout::Find(absl::string_view name) const { return FindIn(entries, name); }
int StateLayout::Find(absl::string_view name) const { return FindIn(entries, name); }

ParameterLayout MakeParameterLayout(const Graph& graph, absl::Span<const int> order) {
  ParameterLayout layout;
  for (int index : order) {
    const Parameter& parameter = graph.parameters[index];
    const auto elements = static_cast<size_t>(parameter.shape.NumElements());
    layout.entries.push_back(
        {parameter.name, parameter.shape, parameter.initializer, layout.total_elements, elements});
    layout.total_elements += RoundUp(elements, kAlignmentElements);
    layout.parameter_elements += elements;
  }
  return layout;
}

StateLayout MakeStateLayout(const Graph& graph) {
  StateLayout layout;
  for (const State& state : graph.states) {
    const auto elements = static_cast<size_t>(state.shape.NumElements());
    layout.entries.push_back({state.name, state.shape, state.initial, layout.total_elements, elements});
    layout.total_elements += RoundUp(elements, kAlignmentElements);
  }
  return layout;
}

void InitializeParameters(const ParameterLayout& layout, uint64_t seed, absl::Span<float> out) {
  std::fill(out.begin(), out.end(), 0.0f);
  for (const ParameterLayout::Entry& entry : layout.entries) {
    Initialize(entry.initializer, seed, entry.name, out.subspan(entry.offset, entry.elements));
  }
}

void InitializeStates(const StateLayout& layout, absl::Span<float> out) {
  std::fill(out.begin(), out.end(), 0.0f);
  for (const StateLayout::Entry& entry : layout.entries) {
    const absl::Span<float> values = out.subspan(entry.offset, entry.elements);
    std::fill(values.begin(), values.end(), entry.initial);
  }
}

}  // namespace lockstep::graph
