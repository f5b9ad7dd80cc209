#include "tests/nn/lane_run.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/thread.h"

namespace lockstep::testing {
namespace {

// Copies values into the places that a layout (of parameters or states) gives them.
template <typename Layout>
absl::Status Scatter(const Layout& layout, const NamedValues& values, AlignedBuffer<float>* out) {
  *out = AlignedBuffer<float>(layout.total_elements);
  if (values.size() != layout.entries.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(values.size(), " tensors given, the graph has ", layout.entries.size()));
  }
  for (const auto& entry : layout.entries) {
    const auto found = values.find(entry.name);
    if (found == values.end()) return absl::InvalidArgumentError(absl::StrCat("no values for ", entry.name));
    if (found->second.size() != entry.elements) {
      return absl::InvalidArgumentError(absl::StrCat(entry.name, " has ", entry.shape.ToString(), ", but ",
                                                     found->second.size(), " values are given"));
    }
    std::copy(found->second.begin(), found->second.end(), out->data() + entry.offset);
  }
  return absl::OkStatus();
}

template <typename Layout>
NamedValues Gather(const Layout& layout, const AlignedBuffer<float>& buffer) {
  NamedValues values;
  for (const auto& entry : layout.entries) {
    const float* begin = buffer.data() + entry.offset;
    values[entry.name].assign(begin, begin + entry.elements);
  }
  return values;
}

absl::StatusOr<std::vector<AlignedBytes>> CopyInputs(const graph::LaneProgram& program,
                                                     const LaneRunInputs& in) {
  std::vector<AlignedBytes> copies;
  for (const graph::Input& input : program.inputs()) {
    const auto found = in.inputs.find(input.name);
    if (found == in.inputs.end()) return absl::InvalidArgumentError(absl::StrCat("no input ", input.name));
    if (found->second.type != input.type) {
      return absl::InvalidArgumentError(absl::StrCat("input ", input.name, " is ",
                                                     found->second.type.ToString(), " instead of ",
                                                     input.type.ToString()));
    }
    copies.emplace_back(found->second.bytes.size());
    std::memcpy(copies.back().data(), found->second.bytes.data(), found->second.bytes.size());
  }
  return copies;
}

}  // namespace

absl::StatusOr<LaneRun> LaneRun::Make(const graph::Graph& graph, graph::Mode mode, bool fuse) {
  PrepareLaneThread();
  LaneRun run;
  graph::CompileOptions options;
  options.mode = mode;
  options.fuse = fuse;
  ASSIGN_OR_RETURN(run.program_, graph::Compile(graph, options));
  run.runner_ = std::make_unique<graph::LaneRunner>(run.program_);
  return run;
}

absl::StatusOr<LaneRunOutputs> LaneRun::Run(const LaneRunInputs& in) {
  const graph::ParameterLayout& layout = program_->parameter_layout();
  const graph::StateLayout& state_layout = program_->state_layout();
  AlignedBuffer<float> parameters, states;
  RETURN_IF_ERROR(Scatter(layout, in.parameters, &parameters));
  RETURN_IF_ERROR(Scatter(state_layout, in.states, &states));
  ASSIGN_OR_RETURN(const std::vector<AlignedBytes> copies, CopyInputs(*program_, in));
  std::vector<const void*> inputs;
  for (const AlignedBytes& copy : copies) inputs.push_back(copy.data());
  AlignedBuffer<float> gradients(layout.total_elements), deltas(state_layout.total_elements);
  AlignedBuffer<float> weights(in.sample_weights.size());
  std::copy(in.sample_weights.begin(), in.sample_weights.end(), weights.data());
  std::vector<int64_t> positions(program_->micro_batch());
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int64_t>(i);

  const bool train = program_->mode() == graph::Mode::kTrain;
  graph::LaneArgs args;
  args.parameters = parameters.data();
  args.gradients = train ? gradients.data() : nullptr;
  args.inputs = inputs;
  args.sample_weights = in.sample_weights.empty() ? nullptr : weights.data();
  args.states = states.data();
  args.state_deltas = train ? deltas.data() : nullptr;
  args.context.positions = positions;

  graph::LaneResult result;
  RETURN_IF_ERROR(runner_->Run(args, &result));
  LaneRunOutputs out;
  out.loss = result.loss;
  for (size_t i = 0; i < result.metrics.size(); ++i)
    out.metrics[program_->metric_names()[i]] = result.metrics[i];
  if (train) {
    out.gradients = Gather(layout, gradients);
    out.state_deltas = Gather(state_layout, deltas);
  }
  for (size_t i = 0; !train && i < program_->output_names().size(); ++i) {
    const auto* values = static_cast<const float*>(runner_->output(static_cast<int>(i)));
    const int64_t count = runner_->output_type(static_cast<int>(i)).shape.NumElements();
    out.outputs[program_->output_names()[i]].assign(values, values + count);
  }
  return out;
}

}  // namespace lockstep::testing
