#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/core/clock.h"
#include "runtime/graph/lane_program_impl.h"

namespace lockstep::graph {

// Pointers of one run, in memory that is reused.
struct LaneRunner::Bindings {
  std::array<std::byte*, kSpaces> bases{};  // kInput unused
  absl::Span<const void* const> inputs;
  std::vector<const void*> in;  // of the step at hand
  std::vector<void*> out;

  std::byte* At(const Location& location) const {
    if (location.space == Space::kInput) {
      return static_cast<std::byte*>(const_cast<void*>(inputs[location.input])) + location.offset_bytes;
    }
    return bases[static_cast<size_t>(location.space)] + location.offset_bytes;
  }
};

namespace {

template <typename T>
std::byte* Bytes(T* pointer) {
  return reinterpret_cast<std::byte*>(const_cast<std::remove_const_t<T>*>(pointer));
}

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % kAlignmentBytes == 0; }

absl::Status CheckBuffer(absl::string_view name, const void* pointer, size_t elements) {
  if (elements == 0) return absl::OkStatus();
  if (pointer == nullptr) return absl::InvalidArgumentError(absl::StrCat("lane: no buffer for ", name));
  if (!Aligned(pointer))
    return absl::InvalidArgumentError(absl::StrCat("lane: ", name, " is not 64-byte aligned"));
  return absl::OkStatus();
}

template <typename T>
bool AllFinite(const std::byte* data, int64_t elements) {
  const T* values = reinterpret_cast<const T*>(data);
  return std::all_of(values, values + elements, [](T x) { return std::isfinite(x); });
}

}  // namespace

LaneRunner::LaneRunner(std::shared_ptr<const LaneProgram> program)
    : program_(std::move(program)),
      arena_(program_->arena_bytes()),
      ones_(static_cast<size_t>(program_->micro_batch())),
      bindings_(std::make_unique<Bindings>()) {
  std::fill(ones_.span().begin(), ones_.span().end(), 1.0f);
  size_t inputs = 0, outputs = 0;
  for (const Step& step : program_->impl_->steps) {
    inputs = std::max(inputs, step.inputs.size());
    outputs = std::max(outputs, step.outputs.size());
  }
  bindings_->in.resize(inputs);
  bindings_->out.resize(outputs);
  bindings_->bases[static_cast<size_t>(Space::kArena)] = arena_.data();
}

LaneRunner::~LaneRunner() = default;

absl::Status LaneRunner::CheckArgs(const LaneArgs& args) const {
  const LaneProgram::Impl& p = *program_->impl_;
  RETURN_IF_ERROR(CheckBuffer("parameters", args.parameters, p.layout->total_elements));
  RETURN_IF_ERROR(CheckBuffer("states", args.states, p.states.total_elements));
  if (p.mode == Mode::kTrain) {
    RETURN_IF_ERROR(CheckBuffer("gradients", args.gradients, p.layout->total_elements));
    RETURN_IF_ERROR(CheckBuffer("state deltas", args.state_deltas, p.states.total_elements));
  }
  if (!Aligned(args.sample_weights))
    return absl::InvalidArgumentError("lane: sample weights are not 64-byte aligned");
  if (args.inputs.size() != p.graph.inputs.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("lane: ", args.inputs.size(), " inputs where the program has ", p.graph.inputs.size()));
  }
  for (size_t i = 0; i < args.inputs.size(); ++i) {
    RETURN_IF_ERROR(CheckBuffer(p.graph.inputs[i].name, args.inputs[i], 1));
  }
  if (!args.operator_seconds.empty() && args.operator_seconds.size() != p.steps.size()) {
    return absl::InvalidArgumentError("lane: operator_seconds needs one entry an operator");
  }
  if (p.needs_positions && args.context.positions.size() != static_cast<size_t>(p.graph.micro_batch)) {
    return absl::InvalidArgumentError(absl::StrCat("lane: ", args.context.positions.size(), " positions for ",
                                                   p.graph.micro_batch, " samples; dropout needs them"));
  }
  return absl::OkStatus();
}

absl::Status LaneRunner::RunStep(int number, const LaneArgs& args) {
  const Step& step = program_->impl_->steps[number];
  Bindings& b = *bindings_;
  for (size_t i = 0; i < step.inputs.size(); ++i) b.in[i] = b.At(step.inputs[i]);
  for (size_t i = 0; i < step.outputs.size(); ++i) b.out[i] = b.At(step.outputs[i]);
  if (!args.accumulate) {
    for (const Step::Zeroed& zeroed : step.zeroed) std::memset(b.At(zeroed.location), 0, zeroed.size_bytes);
  }
  kernels::KernelArgs call;
  call.inputs = absl::MakeConstSpan(b.in.data(), step.inputs.size());
  call.outputs = absl::MakeConstSpan(b.out.data(), step.outputs.size());
  call.scratch = arena_.data() + step.scratch_offset_bytes;
  call.accumulate =
      step.write == Step::Write::kLater || (step.write == Step::Write::kFirst && args.accumulate);
  call.context = &args.context;
  const double begin = args.operator_seconds.empty() ? 0 : MonotonicSeconds();
  step.kernel->Run(call);
  if (!args.operator_seconds.empty()) args.operator_seconds[number] += MonotonicSeconds() - begin;
  operators_done_.store(operators_done_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (args.check_finite) RETURN_IF_ERROR(FindNonFinite(number));
  if (args.on_gradient_ready != nullptr) {
    for (int entry : step.ready) (*args.on_gradient_ready)(entry);
  }
  return absl::OkStatus();
}

// What no operator writes.
void LaneRunner::ZeroUnwritten(const LaneArgs& args) const {
  const LaneProgram::Impl& p = *program_->impl_;
  if (p.mode != Mode::kTrain) return;
  for (int i : p.without_gradient) {
    const ParameterLayout::Entry& entry = p.layout->entries[i];
    if (!args.accumulate) std::fill_n(args.gradients + entry.offset, entry.elements, 0.0f);
    if (args.on_gradient_ready != nullptr) (*args.on_gradient_ready)(i);
  }
  for (int i : p.states_without_update) {
    const StateLayout::Entry& entry = p.states.entries[i];
    if (!args.accumulate) std::fill_n(args.state_deltas + entry.offset, entry.elements, 0.0f);
  }
}

absl::Status LaneRunner::Run(const LaneArgs& args, LaneResult* result) {
  RETURN_IF_ERROR(CheckArgs(args));
  const LaneProgram::Impl& p = *program_->impl_;
  auto& bases = bindings_->bases;
  bases[static_cast<size_t>(Space::kParameters)] = Bytes(args.parameters);
  bases[static_cast<size_t>(Space::kGradients)] = Bytes(args.gradients);
  bases[static_cast<size_t>(Space::kStates)] = Bytes(args.states);
  bases[static_cast<size_t>(Space::kStateDeltas)] = Bytes(args.state_deltas);
  bases[static_cast<size_t>(Space::kSampleWeights)] =
      args.sample_weights == nullptr ? Bytes(ones_.data()) : Bytes(args.sample_weights);
  bindings_->inputs = args.inputs;
  ZeroUnwritten(args);
  for (int step = 0; step < static_cast<int>(p.steps.size()); ++step) {
    if (args.cancelled != nullptr && args.cancelled->load(std::memory_order_relaxed)) {
      return absl::CancelledError("lane: cancelled");
    }
    RETURN_IF_ERROR(RunStep(step, args));
    if (args.on_operator_done != nullptr) (*args.on_operator_done)();
  }
  result->bad_sample = -1;
  RETURN_IF_ERROR(CheckIds(args, result));
  result->loss = {};
  for (const LossTerm& term : p.graph.loss) result->loss.sum += term.factor * Read(term.sum).sum;
  if (!p.graph.loss.empty()) result->loss.weight = Read(p.graph.loss.front().sum).weight;
  result->metrics.resize(p.graph.metrics.size());
  for (size_t i = 0; i < p.graph.metrics.size(); ++i) result->metrics[i] = Read(p.graph.metrics[i]);
  return absl::OkStatus();
}

double LaneRunner::ReadScalar(ValueId id) const {
  const LaneProgram::Impl& p = *program_->impl_;
  const std::byte* at = bindings_->At(p.storage.values[id]);
  return p.graph.type(id).dtype == DType::kF64 ? *reinterpret_cast<const double*>(at)
                                               : static_cast<double>(*reinterpret_cast<const float*>(at));
}

LaneSum LaneRunner::Read(const WeightedSum& sum) const {
  return {ReadScalar(sum.numerator), sum.weight_scale * ReadScalar(sum.weight)};
}

absl::Status LaneRunner::CheckIds(const LaneArgs& args, LaneResult* result) const {
  const LaneProgram::Impl& p = *program_->impl_;
  for (const RangeCheck& check : p.graph.checks) {
    const auto* found = reinterpret_cast<const int64_t*>(bindings_->At(p.storage.values[check.found]));
    if (found[0] == 0) continue;
    const TensorType& type = p.graph.type(check.ids);
    const int64_t per_sample = std::max<int64_t>(type.shape.NumElements() / p.graph.micro_batch, 1);
    result->bad_sample = found[1] / per_sample;
    std::string which = absl::StrCat("'", p.graph.values[check.ids].name, "'");
    const Value& root = p.graph.values[p.graph.Root(check.ids)];
    if (root.source == Source::kInput && root.index >= 0) {
      const void* data = args.inputs[root.index];
      const int64_t value = type.dtype == DType::kI64 ? static_cast<const int64_t*>(data)[found[1]]
                                                      : static_cast<const int32_t*>(data)[found[1]];
      which = absl::StrCat("value ", value, " of input ", which);
    }
    return DataError(absl::StrCat(check.what, ": ", which, " (sample ", result->bad_sample,
                                  " of the micro-batch, element ", found[1] % per_sample, ") is not in [0, ",
                                  check.limit, "); ", found[0], " such in this micro-batch"));
  }
  return absl::OkStatus();
}

absl::Status LaneRunner::FindNonFinite(int number) const {
  const LaneProgram::Impl& p = *program_->impl_;
  const Node& node = p.graph.nodes[p.steps[number].node];
  for (ValueId id : node.outputs) {
    if (!p.used[id]) continue;
    const TensorType& type = p.graph.type(id);
    const std::byte* data = bindings_->At(p.storage.values[id]);
    const int64_t elements = type.shape.NumElements();
    const bool finite = type.dtype == DType::kF32   ? AllFinite<float>(data, elements)
                        : type.dtype == DType::kF64 ? AllFinite<double>(data, elements)
                                                    : true;
    if (finite) continue;
    return NumericsError(absl::StrCat("the first tensor that is not finite is ", type.ToString(), " of '",
                                      node.name, "' (", kernels::NameOf(node.kind), ", operator ", number,
                                      ")"));
  }
  return absl::OkStatus();
}

const void* LaneRunner::output(int i) const {
  const LaneProgram::Impl& p = *program_->impl_;
  return bindings_->At(p.storage.values[p.graph.outputs[i].value]);
}

TensorType LaneRunner::output_type(int i) const {
  const LaneProgram::Impl& p = *program_->impl_;
  return p.graph.type(p.graph.outputs[i].value);
}

}  // namespace lockstep::graph
