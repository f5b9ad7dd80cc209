#include "runtime/graph/storage.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/graph/sinks.h"
#include "runtime/graph/uses.h"

namespace lockstep::graph {
namespace {

class StoragePlanner {
 public:
  StoragePlanner(const Graph& graph, const ParameterLayout& parameters, const StateLayout& states)
      : graph_(graph), parameters_(parameters), states_(states), uses_(graph), sinks_(SinkTargets(graph)) {
    storage_.values.resize(graph.values.size());
    storage_.buffers.assign(graph.values.size(), -1);
  }

  Storage Run(absl::Span<const size_t> scratch_bytes) {
    for (size_t n = 0; n < graph_.nodes.size(); ++n) PlaceOutputs(static_cast<int>(n));
    const size_t first_scratch = storage_.lives.size();
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      storage_.lives.push_back({scratch_bytes[n], static_cast<int>(n), static_cast<int>(n)});
    }
    storage_.plan = PlanMemory(storage_.lives);
    storage_.scratch.resize(graph_.nodes.size());
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      storage_.scratch[n].offset_bytes = storage_.plan.offsets_bytes[first_scratch + n];
    }
    for (size_t id = 0; id < graph_.values.size(); ++id)
      storage_.values[id] = Locate(static_cast<ValueId>(id));
    return std::move(storage_);
  }

 private:
  int LastUse(ValueId root) const {
    if (uses_.roots[root] > 0) return static_cast<int>(graph_.nodes.size()) - 1;
    return uses_.readers[root].empty() ? graph_.values[root].index : uses_.readers[root].back();
  }

  // An input of node n whose memory its output number k may have, or kNoValue.
  ValueId InputToReuse(int n, int k, const kernels::OpSpec& spec, const std::vector<ValueId>& taken) const {
    const Node& node = graph_.nodes[n];
    for (int i : kernels::InPlaceInputs(spec, k)) {
      const ValueId root = graph_.Root(node.inputs[i]);
      const auto same_root = [&](ValueId id) { return graph_.Root(id) == root; };
      if (storage_.buffers[root] < 0 || LastUse(root) != n || uses_.roots[root] > 0) continue;
      if (graph_.type(root).size_bytes() != graph_.type(node.outputs[k]).size_bytes()) continue;
      if (std::count_if(node.inputs.begin(), node.inputs.end(), same_root) > 1) continue;
      if (std::find(taken.begin(), taken.end(), root) == taken.end()) return root;
    }
    return kNoValue;
  }

  void PlaceOutputs(int n) {
    const Node& node = graph_.nodes[n];
    const kernels::OpSpec spec = graph_.SpecOf(node);
    std::vector<ValueId> taken;
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const ValueId id = node.outputs[k];
      if (sinks_[id] != kNoSink) continue;
      const ValueId reused = InputToReuse(n, static_cast<int>(k), spec, taken);
      if (reused != kNoValue) {
        taken.push_back(reused);
        storage_.buffers[id] = storage_.buffers[reused];
      } else {
        storage_.buffers[id] = static_cast<int>(storage_.lives.size());
        storage_.lives.push_back({graph_.type(id).size_bytes(), n, n});
      }
      BufferLife& life = storage_.lives[storage_.buffers[id]];
      life.last = std::max(life.last, LastUse(id));
    }
  }

  Location Locate(ValueId id) const {
    const ValueId root = graph_.Root(id);
    const Value& value = graph_.values[root];
    switch (value.source) {
      case Source::kParameter:
        return {Space::kParameters, 0, ParameterOffset(value.index)};
      case Source::kState:
        return {Space::kStates, 0, states_.entries[value.index].offset * sizeof(float)};
      case Source::kInput:
        return value.index < 0 ? Location{Space::kSampleWeights, 0, 0}
                               : Location{Space::kInput, value.index, 0};
      case Source::kNode:
      case Source::kView:  // a root is no view
        break;
    }
    const int sink = sinks_[root];
    if (sink == kNoSink) {
      const int buffer = storage_.buffers[root];
      return {Space::kArena, 0, buffer < 0 ? 0 : storage_.plan.offsets_bytes[buffer]};
    }
    if (sink >= 0) return {Space::kGradients, 0, ParameterOffset(sink)};
    return {Space::kStateDeltas, 0, states_.entries[-1 - sink].offset * sizeof(float)};
  }

  size_t ParameterOffset(int parameter) const {
    return parameters_.entries[parameters_.Find(graph_.parameters[parameter].name)].offset * sizeof(float);
  }

  const Graph& graph_;
  const ParameterLayout& parameters_;
  const StateLayout& states_;
  const Uses uses_;
  const std::vector<int> sinks_;
  Storage storage_;
};

struct Range {
  size_t begin = 0, end = 0;
  bool Overlaps(const Range& other) const { return begin < other.end && other.begin < end; }
};

class StorageChecker {
 public:
  StorageChecker(const Graph& graph, const Storage& storage, absl::Span<const size_t> scratch_bytes)
      : graph_(graph), storage_(storage), scratch_bytes_(scratch_bytes), uses_(graph) {}

  absl::Status Run() {
    for (size_t n = 0; n < graph_.nodes.size(); ++n) RETURN_IF_ERROR(CheckNode(static_cast<int>(n)));
    return absl::OkStatus();
  }

 private:
  Range RangeOf(ValueId root) const {
    const size_t begin = storage_.values[root].offset_bytes;
    return {begin, begin + graph_.type(root).size_bytes()};
  }

  bool InArena(ValueId root) const {
    return graph_.values[root].source == Source::kNode && storage_.values[root].space == Space::kArena;
  }

  bool NeededAfter(ValueId root, int n) const {
    return uses_.roots[root] > 0 || (!uses_.readers[root].empty() && uses_.readers[root].back() > n);
  }

  bool MayShare(const Node& node, const kernels::OpSpec& spec, int k, ValueId input) const {
    for (int i : kernels::InPlaceInputs(spec, k)) {
      const ValueId root = graph_.Root(node.inputs[i]);
      if (root == input && RangeOf(root).begin == RangeOf(node.outputs[k]).begin) return true;
    }
    return false;
  }

  absl::Status Overlap(const Node& node, absl::string_view what, ValueId victim) const {
    return absl::InternalError(absl::StrCat("storage: '", node.name, "' writes ", what, " over '",
                                            graph_.values[victim].name, "' (value ", victim, ")"));
  }

  absl::Status CheckNode(int n) {
    const Node& node = graph_.nodes[n];
    const kernels::OpSpec spec = graph_.SpecOf(node);
    const Range scratch{storage_.scratch[n].offset_bytes,
                        storage_.scratch[n].offset_bytes + scratch_bytes_[n]};
    for (ValueId held : live_) {
      const bool read_here = std::any_of(node.inputs.begin(), node.inputs.end(),
                                         [&](ValueId id) { return graph_.Root(id) == held; });
      if (!read_here && !NeededAfter(held, n)) continue;
      if (RangeOf(held).Overlaps(scratch)) return Overlap(node, "scratch", held);
      for (size_t k = 0; k < node.outputs.size(); ++k) {
        if (!InArena(node.outputs[k]) || !RangeOf(held).Overlaps(RangeOf(node.outputs[k]))) continue;
        const bool allowed = !NeededAfter(held, n) && MayShare(node, spec, static_cast<int>(k), held);
        if (!allowed) return Overlap(node, "an output", held);
      }
    }
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      if (!InArena(node.outputs[k])) continue;
      const Range range = RangeOf(node.outputs[k]);
      if (range.Overlaps(scratch)) return Overlap(node, "scratch", node.outputs[k]);
      for (size_t j = 0; j < k; ++j) {
        if (InArena(node.outputs[j]) && range.Overlaps(RangeOf(node.outputs[j]))) {
          return Overlap(node, "an output", node.outputs[j]);
        }
      }
      live_.push_back(node.outputs[k]);
    }
    const auto dead = [&](ValueId id) { return !NeededAfter(id, n); };
    live_.erase(std::remove_if(live_.begin(), live_.end(), dead), live_.end());
    return absl::OkStatus();
  }

  const Graph& graph_;
  const Storage& storage_;
  absl::Span<const size_t> scratch_bytes_;
  const Uses uses_;
  std::vector<ValueId> live_;  // arena values that are still needed
};

}  // namespace

Storage PlanStorage(const Graph& graph, const ParameterLayout& parameters, const StateLayout& states,
                    absl::Span<const size_t> scratch_bytes) {
  return StoragePlanner(graph, parameters, states).Run(scratch_bytes);
}

absl::Status CheckStorage(const Graph& graph, const Storage& storage,
                          absl::Span<const size_t> scratch_bytes) {
  return StorageChecker(graph, storage, scratch_bytes).Run();
}

}  // namespace lockstep::graph
