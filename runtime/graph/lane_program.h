// A compiled model: what one lane runs for one micro-batch, on one thread.
//
//   ASSIGN_OR_RETURN(auto train, Compile(graph, {.mode = Mode::kTrain}));
//   ASSIGN_OR_RETURN(auto eval, Compile(graph, {.mode = Mode::kEvaluate, .layout =
//   train->parameter_layout_ptr()})); LaneRunner runner(train);          // one a thread; owns the arena
//   runner.Run(args, &result);         // forward and backward
//
// Determinism: the same arguments give the same bits, whatever the thread, the addresses and earlier runs.
// Losses, metrics and gradients are sums over the samples of the micro-batch, each times its weight: nothing
// is divided here.
#ifndef LOCKSTEP_RUNTIME_GRAPH_LANE_PROGRAM_H_
#define LOCKSTEP_RUNTIME_GRAPH_LANE_PROGRAM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "kernels/kernel.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/status.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/parameter_layout.h"

namespace lockstep::graph {

enum class Mode : uint8_t {
  kTrain,     // forward, backward, state deltas
  kEvaluate,  // forward with running statistics and without dropout: loss, metrics, outputs
};

struct CompileOptions {
  Mode mode = Mode::kTrain;
  kernels::Device device = kernels::Device::kCpu;
  bool fuse = true;  // fusion.h; off only to compare
  // Evaluation shares the buffers of training, so it takes training's layout. Null: the graph's own.
  std::shared_ptr<const ParameterLayout> layout;
};

class LaneRunner;

// Immutable, shared by the runners of all lanes and threads.
class LaneProgram {
 public:
  struct Impl;
  explicit LaneProgram(std::unique_ptr<const Impl> impl);
  ~LaneProgram();

  Mode mode() const;
  int64_t micro_batch() const;
  const std::vector<Input>& inputs() const;  // order and types (with the micro-batch) of LaneArgs::inputs
  const ParameterLayout& parameter_layout() const;
  std::shared_ptr<const ParameterLayout> parameter_layout_ptr() const;
  const StateLayout& state_layout() const;
  const std::vector<std::string>& metric_names() const;  // order of LaneResult::metrics
  const std::vector<std::string>& output_names() const;  // order of LaneRunner::output
  bool has_loss() const;

  size_t arena_bytes() const;  // memory that each runner owns
  double flops() const;  // multiplications and additions of a micro-batch in matrix products and convolutions
  int num_operators() const;                      // what LaneRunner::operators_done advances by in a run
  const std::string& operator_name(int i) const;  // "block.0.attn.linear+add"
  absl::string_view operator_kind(int i) const;   // "Linear"
  std::string Describe() const;                   // sizes and the list of operators, for people

 private:
  friend class LaneRunner;
  std::unique_ptr<const Impl> impl_;
};

// Errors: ConfigError where the graph cannot be trained (no loss, nothing to train), Unimplemented where the
// device lacks an operator, Internal for a defect.
absl::StatusOr<std::shared_ptr<const LaneProgram>> Compile(const Graph& graph, const CompileOptions& options);

// Everything is borrowed until Run returns; all buffers are 64-byte aligned.
struct LaneArgs {
  const float* parameters = nullptr;  // [parameter_layout().total_elements]
  // Training only: the same layout. Written (or added onto, if `accumulate`) by the operators themselves.
  float* gradients = nullptr;
  bool accumulate =
      false;  // gradients and state_deltas += instead of =: the second and later micro-batch of a lane
  absl::Span<const void* const> inputs;   // as LaneProgram::inputs
  const float* sample_weights = nullptr;  // [micro_batch]; null: all 1
  const float* states = nullptr;          // [state_layout().total_elements], read
  // Training only: the same layout. The new state is state + sum of deltas / number of micro-batches of the
  // step.
  float* state_deltas = nullptr;
  kernels::RunContext context;  // dropout key and the positions of the samples

  // Called on the calling thread once for each parameter, in the order of the layout (entry 0 first), after
  // the last write to its gradient in this run. May be null.
  const std::function<void(int entry)>* on_gradient_ready = nullptr;
  const std::atomic<bool>* cancelled = nullptr;  // looked at between operators; Run then returns Cancelled
  // Called on the calling thread after each operator: shows others that a long step gets on. May be null.
  const std::function<void()>* on_operator_done = nullptr;
  // num_operators() entries or none: the time that each operator takes is added. For profiles and traces.
  absl::Span<double> operator_seconds;
  // Look at every tensor. Slow: for the second run after a loss that is not finite.
  bool check_finite = false;
};

struct LaneSum {
  double sum = 0;     // over rows of row weight * value
  double weight = 0;  // sum of the row weights; a mean is (all lanes' sum) / (all lanes' weight)
};

struct LaneResult {
  LaneSum loss;                  // divide gradients by the same weight
  std::vector<LaneSum> metrics;  // as metric_names
  int64_t bad_sample = -1;       // after a DataError: which sample of the micro-batch holds the label or id
};

// Runs a program; owns the memory of its intermediate values. Used by one thread at a time; PrepareLaneThread
// must have run on it. operators_done may be read from anywhere.
class LaneRunner {
 public:
  explicit LaneRunner(std::shared_ptr<const LaneProgram> program);
  ~LaneRunner();
  LaneRunner(const LaneRunner&) = delete;
  LaneRunner& operator=(const LaneRunner&) = delete;

  // One micro-batch. Allocates nothing after the first call with the same `result`.
  // Errors: Cancelled; DataError naming input, sample and limit for a label or id out of range; NumericsError
  // naming the first tensor that is not finite (check_finite only); InvalidArgument for missing buffers.
  // After an error the gradients are undefined.
  absl::Status Run(const LaneArgs& args, LaneResult* result);

  // Output number i of output_names after an evaluation Run, with the micro-batch; valid until the next Run.
  const void* output(int i) const;
  TensorType output_type(int i) const;

  // Counts operators since the runner was made: a heartbeat that moves while a long step runs.
  int64_t operators_done() const { return operators_done_.load(std::memory_order_relaxed); }
  const LaneProgram& program() const { return *program_; }

 private:
  struct Bindings;
  absl::Status CheckArgs(const LaneArgs& args) const;
  absl::Status CheckIds(const LaneArgs& args, LaneResult* result) const;
  absl::Status FindNonFinite(int step) const;
  absl::Status RunStep(int step, const LaneArgs& args);
  void ZeroUnwritten(const LaneArgs& args) const;
  double ReadScalar(ValueId id) const;
  LaneSum Read(const WeightedSum& sum) const;

  std::shared_ptr<const LaneProgram> program_;
  AlignedBytes arena_;
  AlignedBuffer<float> ones_;  // sample weights where none are given
  std::unique_ptr<Bindings> bindings_;
  std::atomic<int64_t> operators_done_{0};
};

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_LANE_PROGRAM_H_
