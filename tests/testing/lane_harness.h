// Runs a small model in a test: builds, compiles, fills buffers from a seed, runs one micro-batch.
#ifndef LOCKSTEP_TESTS_TESTING_LANE_HARNESS_H_
#define LOCKSTEP_TESTS_TESTING_LANE_HARNESS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/aligned_buffer.h"
#include "runtime/graph/builder.h"
#include "runtime/graph/lane_program.h"

namespace lockstep::graph {

using ModelFunction = std::function<void(Builder&)>;

// A parameter with values of its own for each sample, so that a gradient of activations can be checked:
// `shape` is that of one sample.
Tensor PerSample(Builder& b, absl::string_view name, const Shape& shape, const Initializer& initializer);

struct HarnessOptions {
  int64_t micro_batch = 3;
  CompileOptions compile;
  int64_t label_limit = 4;  // integer inputs are drawn from [0, label_limit)
  uint64_t seed = 1;
};

// Everything a lane needs, with random values. The input "sample" of PerSample is filled with 0, 1, 2, ...
class LaneHarness {
 public:
  // Fails the test (and leaves ok() false) if the model does not build or compile.
  LaneHarness(const ModelFunction& model, const HarnessOptions& options);

  bool ok() const { return runner_ != nullptr; }
  const LaneProgram& program() const { return *program_; }
  LaneRunner& runner() { return *runner_; }
  LaneArgs& args() { return args_; }
  const LaneResult& result() const { return result_; }

  // Runs; fails the test on an error. Returns the loss sum.
  double Run();
  absl::Status TryRun() { return runner_->Run(args_, &result_); }

  // Entry `name` of the flat buffers.
  absl::Span<float> parameter(absl::string_view name) { return Part(parameters_, name); }
  absl::Span<float> gradient(absl::string_view name) { return Part(gradients_, name); }
  absl::Span<float> state(absl::string_view name) { return StatePart(states_, name); }
  absl::Span<float> state_delta(absl::string_view name) { return StatePart(deltas_, name); }
  absl::Span<float> gradients() { return gradients_.span(); }
  absl::Span<float> parameters() { return parameters_.span(); }
  absl::Span<float> states() { return states_.span(); }
  absl::Span<float> state_deltas() { return deltas_.span(); }
  AlignedBytes& input(int i) { return inputs_[static_cast<size_t>(i)]; }
  float* sample_weights() { return weights_.data(); }

 private:
  absl::Span<float> Part(AlignedBuffer<float>& buffer, absl::string_view name);
  absl::Span<float> StatePart(AlignedBuffer<float>& buffer, absl::string_view name);
  void FillInputs(const HarnessOptions& options);

  std::shared_ptr<const LaneProgram> program_;
  std::unique_ptr<LaneRunner> runner_;
  AlignedBuffer<float> parameters_, gradients_, states_, deltas_, weights_;
  std::vector<AlignedBytes> inputs_;
  std::vector<const void*> input_pointers_;
  std::vector<int64_t> positions_;
  LaneArgs args_;
  LaneResult result_;
};

}  // namespace lockstep::graph

#endif  // LOCKSTEP_TESTS_TESTING_LANE_HARNESS_H_
