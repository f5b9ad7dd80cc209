// Runs a graph for one micro-batch from tensors by name: what the tests of graphs and models share.
#ifndef LOCKSTEP_TESTS_NN_LANE_RUN_H_
#define LOCKSTEP_TESTS_NN_LANE_RUN_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/status.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/lane_program.h"
#include "tests/testing/golden_file.h"

namespace lockstep::testing {

using NamedValues = std::map<std::string, std::vector<float>>;

struct LaneRunInputs {
  NamedValues parameters, states;              // every one of the graph, without padding
  std::map<std::string, GoldenTensor> inputs;  // every one of the graph
  std::vector<float> sample_weights;           // empty: all 1
};

struct LaneRunOutputs {
  graph::LaneSum loss;
  std::map<std::string, graph::LaneSum> metrics;
  NamedValues gradients, state_deltas;  // training
  NamedValues outputs;                  // evaluation
};

// A program with its runner; Run may be called again and again.
class LaneRun {
 public:
  static absl::StatusOr<LaneRun> Make(const graph::Graph& graph, graph::Mode mode, bool fuse = true);

  // Errors: of the runner; InvalidArgument for a missing or extra name or a wrong size.
  absl::StatusOr<LaneRunOutputs> Run(const LaneRunInputs& in);

  const graph::LaneProgram& program() const { return *program_; }

 private:
  std::shared_ptr<const graph::LaneProgram> program_;
  std::unique_ptr<graph::LaneRunner> runner_;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_NN_LANE_RUN_H_
