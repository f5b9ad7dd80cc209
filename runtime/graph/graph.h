// The graph of a lane program: which operators run on which tensors, in single-assignment form.
//
// A graph is a value: passes take one and give one (autodiff.h, evaluation.h, fusion.h), Compile
// (lane_program.h) makes it runnable. Users make graphs with Builder (builder.h). Shapes here are whole
// shapes: the micro-batch is the first dimension of everything that depends on a sample.
#ifndef LOCKSTEP_RUNTIME_GRAPH_GRAPH_H_
#define LOCKSTEP_RUNTIME_GRAPH_GRAPH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "kernels/ops.h"
#include "runtime/core/status.h"
#include "runtime/core/tensor_type.h"

namespace lockstep::graph {

using ValueId = int32_t;  // index into Graph::values
inline constexpr ValueId kNoValue = -1;

// How a parameter begins. Element i is a function of (seed, parameter name, i) alone.
struct Initializer {
  enum class Kind : uint8_t { kConstant, kUniform, kNormal };
  Kind kind = Kind::kConstant;
  float a = 0;  // the constant | low  | mean
  float b = 0;  //              | high | standard deviation

  static Initializer Constant(float value) { return {Kind::kConstant, value, 0}; }
  static Initializer Zeros() { return Constant(0); }
  static Initializer Ones() { return Constant(1); }
  static Initializer Uniform(float bound) { return {Kind::kUniform, -bound, bound}; }  // [-bound, bound)
  static Initializer Normal(float stddev, float mean = 0) { return {Kind::kNormal, mean, stddev}; }

  friend bool operator==(const Initializer&, const Initializer&) = default;
};

// Fills `out` with the initial values of the parameter called `name` in a run with `seed`.
void Initialize(const Initializer& initializer, uint64_t seed, absl::string_view name, absl::Span<float> out);

// Trained, fp32.
struct Parameter {
  std::string name;  // unique in the graph, e.g. "block.0.conv.weight"
  Shape shape;
  Initializer initializer;
  ValueId value = kNoValue;
};

// Not trained but kept and saved: running statistics of batch norm. fp32.
struct State {
  std::string name;  // unique among parameters and states
  Shape shape;
  float initial = 0;  // of every element
  ValueId value = kNoValue;
};

struct Input {
  std::string name;
  TensorType type;  // with the micro-batch
  ValueId value = kNoValue;
};

enum class Source : uint8_t { kNode, kParameter, kState, kInput, kView };

struct Value {
  std::string name;  // for messages: the scope and operator that made it, "block.0.linear"
  TensorType type;
  Source source = Source::kNode;
  int index = 0;   // of the node, parameter, state or input; of the value viewed (never itself a view)
  int output = 0;  // which output of the node
};

struct Node {
  std::string name;
  kernels::OpKind kind = kernels::OpKind::kElementwise;
  kernels::OpAttributes attributes;
  std::vector<ValueId> inputs, outputs;
};

// A quantity that is summed over samples here and divided once, after all lanes' sums are added:
// sum of `numerator` (scalar, F32 or F64) / (weight_scale * sum of `weight` (scalar)).
struct WeightedSum {
  std::string name;
  ValueId numerator = kNoValue;
  ValueId weight = kNoValue;
  double weight_scale = 1;
};

// The total loss is sum of factor * numerator over the terms; its weight is that of the first term. `factor`
// already holds the ratio of rows a sample, so that total / weight is the sum of user_factor * mean over rows
// of each term.
struct LossTerm {
  WeightedSum sum;
  float factor = 1;
};

struct NamedValue {
  std::string name;
  ValueId value = kNoValue;
};

// state += (mean of `delta` over all micro-batches of the step).
struct StateUpdate {
  int state = 0;
  ValueId delta = kNoValue;
};

// The gradient of a parameter is the sum of its contributions, in this order (which is execution order).
struct GradientContribution {
  int parameter = 0;
  ValueId value = kNoValue;  // of the parameter's shape or a view of it
};

// `found` is I64 [2] = {how many of `ids` are outside [0, limit), index of the first or -1}.
struct RangeCheck {
  ValueId found = kNoValue;
  ValueId ids = kNoValue;
  int64_t limit = 0;
  std::string what;  // "embedding 'wte'"
};

// Evaluation puts the running statistics in the place of those of the batch.
struct RunningStatistics {
  ValueId normalized = kNoValue;  // output y of the batch norm
  ValueId mean = kNoValue, variance = kNoValue;
};

struct Graph {
  int64_t micro_batch = 0;
  std::vector<Value> values;
  std::vector<Node> nodes;  // in an order in which they can run
  std::vector<Parameter> parameters;
  std::vector<State> states;
  std::vector<Input> inputs;         // what data must provide, in the order of declaration
  ValueId sample_weight = kNoValue;  // the implicit input, F32 [micro_batch]

  std::vector<LossTerm> loss;
  std::vector<WeightedSum> metrics;
  std::vector<NamedValue> outputs;
  std::vector<StateUpdate> updates;             // training only
  std::vector<GradientContribution> gradients;  // after autodiff
  std::vector<RangeCheck> checks;
  std::vector<RunningStatistics> norms;

  const TensorType& type(ValueId id) const { return values[id].type; }
  // `id`, or the value it is a view of.
  ValueId Root(ValueId id) const { return values[id].source == Source::kView ? values[id].index : id; }

  // Adds a node and its output values, whose types follow from the operator's contract. Error: of
  // InferOutputs, with `name` before it.
  absl::StatusOr<std::vector<ValueId>> Append(absl::string_view name, kernels::OpKind kind,
                                              kernels::OpAttributes attributes, std::vector<ValueId> inputs);
  // The same bytes under another shape. Needs equal element counts.
  ValueId View(ValueId id, const Shape& shape);

  kernels::OpSpec SpecOf(const Node& node) const;

  // Values that must be computed: losses, metrics, outputs, updates, gradients, checks.
  std::vector<ValueId> Roots() const;

  // One node a line.
  std::string ToString() const;
};

// Drops nodes that no root needs. A node stays whole if one of its outputs is needed. Ids of values stay.
void RemoveDeadNodes(Graph& graph);

// Checks that every value is defined once and before its uses, and that types agree with
// the contracts. Error: Internal, naming the node.
absl::Status Validate(const Graph& graph);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_GRAPH_H_
