// What a LaneProgram holds. Seen by compile.cc and lane_runner.cc only.
#ifndef LOCKSTEP_RUNTIME_GRAPH_LANE_PROGRAM_IMPL_H_
#define LOCKSTEP_RUNTIME_GRAPH_LANE_PROGRAM_IMPL_H_

#include <memory>
#include <string>
#include <vector>

#include "kernels/kernel.h"
#include "runtime/graph/lane_program.h"
#include "runtime/graph/storage.h"

namespace lockstep::graph {

// One kernel and where its operands lie.
struct Step {
  enum class Write : uint8_t {
    kStore,  // outputs are stored, always
    kFirst,  // the first writer of its sinks: stores, or adds when LaneArgs::accumulate
    kLater,  // its sinks have been written before in this run: adds
  };
  std::unique_ptr<kernels::Kernel> kernel;
  std::vector<Location> inputs, outputs;
  size_t scratch_offset_bytes = 0;
  Write write = Write::kStore;
  // Of a kLater step that also is the first to write some sink: what to zero before it unless accumulating.
  struct Zeroed {
    Location location;
    size_t size_bytes = 0;
  };
  std::vector<Zeroed> zeroed;
  std::vector<int> ready;  // entries of the layout whose gradients are complete after it
  int node = 0;            // in graph.nodes
};

struct LaneProgram::Impl {
  Mode mode = Mode::kTrain;
  Graph graph;  // as compiled
  std::shared_ptr<const ParameterLayout> layout;
  StateLayout states;
  Storage storage;
  std::vector<Step> steps;
  std::vector<int> without_gradient;       // entries that no operator writes: zero
  std::vector<int> states_without_update;  // entries of the state layout
  std::vector<bool> used;                  // values that something reads
  std::vector<std::string> metric_names, output_names;
  bool needs_positions = false;  // has dropout
  double flops = 0;
  size_t scratch_peak_bytes = 0;
};

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_LANE_PROGRAM_IMPL_H_
