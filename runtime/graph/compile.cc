// Compile: graph -> passes -> kernels and memory.
#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/graph/autodiff.h"
#include "runtime/graph/evaluation.h"
#include "runtime/graph/flops.h"
#include "runtime/graph/fusion.h"
#include "runtime/graph/lane_program_impl.h"
#include "runtime/graph/sinks.h"
#include "runtime/graph/uses.h"

namespace lockstep::graph {
namespace {

absl::StatusOr<Graph> RunPasses(Graph graph, const CompileOptions& options) {
  if (options.fuse) {
    ASSIGN_OR_RETURN(graph, FuseNorms(std::move(graph)));
  }
  if (options.mode == Mode::kTrain) {
    graph.outputs.clear();
    ASSIGN_OR_RETURN(graph, AddGradients(std::move(graph)));
  } else {
    ASSIGN_OR_RETURN(graph, ForEvaluation(std::move(graph)));
  }
  RemoveDeadNodes(graph);
  if (options.fuse && options.mode == Mode::kTrain) {
    ASSIGN_OR_RETURN(graph, FuseGradients(std::move(graph)));
  }
  ASSIGN_OR_RETURN(graph, PrepareSinks(std::move(graph)));
  if (options.fuse) {
    ASSIGN_OR_RETURN(graph, FuseElementwise(std::move(graph)));
    ASSIGN_OR_RETURN(graph, RecomputeInsteadOfStore(std::move(graph)));
  }
  RemoveDeadNodes(graph);
  RETURN_IF_ERROR(Validate(graph));
  return graph;
}

// The node that writes a sink.
int WriterOf(const Graph& graph, ValueId value) { return graph.values[graph.Root(value)].index; }

// Parameters by the node that completes their gradient; those without gradient first.
std::vector<int> CompletionOrder(const Graph& graph, std::vector<int>* completed_by) {
  completed_by->assign(graph.parameters.size(), -1);
  for (const GradientContribution& gradient : graph.gradients) {
    int& last = (*completed_by)[gradient.parameter];
    last = std::max(last, WriterOf(graph, gradient.value));
  }
  std::vector<int> order(graph.parameters.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return (*completed_by)[a] < (*completed_by)[b]; });
  return order;
}

absl::Status CheckLayout(const Graph& graph, const ParameterLayout& layout) {
  if (layout.entries.size() != graph.parameters.size()) {
    return ConfigError(absl::StrCat("model: the layout has ", layout.entries.size(),
                                    " parameters, the graph ", graph.parameters.size()));
  }
  for (const Parameter& parameter : graph.parameters) {
    const int entry = layout.Find(parameter.name);
    if (entry < 0 || layout.entries[entry].shape != parameter.shape) {
      return ConfigError(
          absl::StrCat("model: parameter '", parameter.name, "' ", parameter.shape.ToString(),
                       entry < 0 ? " is not in the layout" : " has another shape in the layout"));
    }
  }
  return absl::OkStatus();
}

bool HasDropout(const Node& node) {
  const kernels::Program* program = nullptr;
  if (const auto* a = std::get_if<kernels::ProgramAttributes>(&node.attributes)) program = &a->program;
  if (const auto* a = std::get_if<kernels::LinearAttributes>(&node.attributes)) program = &a->epilogue;
  if (program == nullptr) return false;
  return std::any_of(program->instructions.begin(), program->instructions.end(),
                     [](const kernels::Instruction& at) { return at.op == kernels::ProgramOp::kDropout; });
}

// Who stores and who adds, in the order of execution.
void AssignWrites(LaneProgram::Impl& program) {
  const Graph& graph = program.graph;
  const std::vector<int> sinks = SinkTargets(graph);
  std::vector<bool> parameter_written(graph.parameters.size(), false),
      state_written(graph.states.size(), false);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    Step& step = program.steps[n];
    std::vector<ValueId> first;
    bool later = false;
    for (ValueId id : graph.nodes[n].outputs) {
      if (sinks[id] == kNoSink) continue;
      auto written =
          sinks[id] >= 0 ? parameter_written.begin() + sinks[id] : state_written.begin() + (-1 - sinks[id]);
      later = later || *written;
      if (!*written) first.push_back(id);
      *written = true;
    }
    if (later) {
      step.write = Step::Write::kLater;
      for (ValueId id : first)
        step.zeroed.push_back({program.storage.values[id], graph.type(id).size_bytes()});
    } else if (!first.empty()) {
      step.write = Step::Write::kFirst;
    }
  }
  for (size_t i = 0; i < state_written.size(); ++i) {
    if (!state_written[i]) program.states_without_update.push_back(static_cast<int>(i));
  }
}

void AssignReady(LaneProgram::Impl& program, const std::vector<int>& completed_by) {
  for (size_t p = 0; p < completed_by.size(); ++p) {
    const int entry = program.layout->Find(program.graph.parameters[p].name);
    auto& list = completed_by[p] < 0 ? program.without_gradient : program.steps[completed_by[p]].ready;
    list.push_back(entry);
  }
  std::sort(program.without_gradient.begin(), program.without_gradient.end());
  for (Step& step : program.steps) std::sort(step.ready.begin(), step.ready.end());
}

absl::Status MakeSteps(LaneProgram::Impl& program, kernels::Device device) {
  const Graph& graph = program.graph;
  std::vector<size_t> scratch_bytes;
  for (const Node& node : graph.nodes) {
    const kernels::OpSpec spec = graph.SpecOf(node);
    Step step;
    absl::StatusOr<std::unique_ptr<kernels::Kernel>> kernel = kernels::MakeKernel(device, spec);
    if (!kernel.ok()) return Annotate(kernel.status(), absl::StrCat("model: '", node.name, "'"));
    step.kernel = *std::move(kernel);
    step.node = static_cast<int>(program.steps.size());
    scratch_bytes.push_back(step.kernel->scratch_bytes());
    program.scratch_peak_bytes = std::max(program.scratch_peak_bytes, scratch_bytes.back());
    program.flops += FlopsOf(spec);
    program.needs_positions = program.needs_positions || HasDropout(node);
    program.steps.push_back(std::move(step));
  }
  program.storage = PlanStorage(graph, *program.layout, program.states, scratch_bytes);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    Step& step = program.steps[n];
    for (ValueId id : graph.nodes[n].inputs) step.inputs.push_back(program.storage.values[id]);
    for (ValueId id : graph.nodes[n].outputs) step.outputs.push_back(program.storage.values[id]);
    step.scratch_offset_bytes = program.storage.scratch[n].offset_bytes;
  }
  return absl::OkStatus();
}

std::string Megabytes(size_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const LaneProgram>> Compile(const Graph& graph,
                                                           const CompileOptions& options) {
  auto program = std::make_unique<LaneProgram::Impl>();
  program->mode = options.mode;
  ASSIGN_OR_RETURN(program->graph, RunPasses(graph, options));
  std::vector<int> completed_by;
  const std::vector<int> order = CompletionOrder(program->graph, &completed_by);
  program->layout = options.layout;
  if (program->layout == nullptr) {
    program->layout = std::make_shared<const ParameterLayout>(MakeParameterLayout(program->graph, order));
  }
  RETURN_IF_ERROR(CheckLayout(program->graph, *program->layout));
  program->states = MakeStateLayout(program->graph);
  RETURN_IF_ERROR(MakeSteps(*program, options.device));
  if (options.mode == Mode::kTrain) {
    AssignWrites(*program);
    AssignReady(*program, completed_by);
  }
  const Uses uses(program->graph);
  for (size_t id = 0; id < program->graph.values.size(); ++id) {
    program->used.push_back(!uses.unused(static_cast<ValueId>(id)));
  }
  for (const WeightedSum& metric : program->graph.metrics) program->metric_names.push_back(metric.name);
  for (const NamedValue& output : program->graph.outputs) program->output_names.push_back(output.name);
  return std::make_shared<const LaneProgram>(std::move(program));
}

LaneProgram::LaneProgram(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
LaneProgram::~LaneProgram() = default;

Mode LaneProgram::mode() const { return impl_->mode; }
int64_t LaneProgram::micro_batch() const { return impl_->graph.micro_batch; }
const std::vector<Input>& LaneProgram::inputs() const { return impl_->graph.inputs; }
const ParameterLayout& LaneProgram::parameter_layout() const { return *impl_->layout; }
std::shared_ptr<const ParameterLayout> LaneProgram::parameter_layout_ptr() const { return impl_->layout; }
const StateLayout& LaneProgram::state_layout() const { return impl_->states; }
const std::vector<std::string>& LaneProgram::metric_names() const { return impl_->metric_names; }
const std::vector<std::string>& LaneProgram::output_names() const { return impl_->output_names; }
bool LaneProgram::has_loss() const { return !impl_->graph.loss.empty(); }
size_t LaneProgram::arena_bytes() const { return impl_->storage.plan.arena_bytes; }
double LaneProgram::flops() const { return impl_->flops; }
int LaneProgram::num_operators() const { return static_cast<int>(impl_->steps.size()); }

const std::string& LaneProgram::operator_name(int i) const { return impl_->graph.nodes[i].name; }
absl::string_view LaneProgram::operator_kind(int i) const {
  return kernels::NameOf(impl_->graph.nodes[i].kind);
}

std::string LaneProgram::Describe() const {
  const Impl& p = *impl_;
  std::string text = absl::StrCat(p.mode == Mode::kTrain ? "training" : "evaluation", " of ", micro_batch(),
                                  " samples: ", num_operators(), " operators, ",
                                  absl::StrFormat("%.3g", p.flops), " flops\n");
  absl::StrAppend(&text, "parameters: ", p.layout->parameter_elements, " in ", p.layout->entries.size(),
                  " tensors (", Megabytes(p.layout->total_elements * sizeof(float)),
                  "), states: ", p.states.entries.size(), "\n");
  absl::StrAppend(&text, "arena: ", Megabytes(arena_bytes()), " (at least ",
                  Megabytes(p.storage.plan.peak_bytes), ", without reuse ",
                  Megabytes(p.storage.plan.naive_bytes), "; scratch up to ", Megabytes(p.scratch_peak_bytes),
                  ")\n");
  return absl::StrCat(text, p.graph.ToString());
}

}  // namespace lockstep::graph
