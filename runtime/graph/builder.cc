#include "runtime/graph/builder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace lockstep::graph {

Builder::Builder(int64_t micro_batch) {
  graph_.micro_batch = micro_batch;
  if (micro_batch < 1) {
    Fail(ConfigError(absl::StrCat("the micro-batch must be at least 1, not ", micro_batch)));
    graph_.micro_batch = 1;
  }
  graph_.sample_weight = 0;
  graph_.values.push_back({"weight", {DType::kF32, {graph_.micro_batch}}, Source::kInput, -1, 0});
  batched_.push_back(true);
}

Builder::ScopeGuard::~ScopeGuard() {
  if (builder_ != nullptr) builder_->prefix_.resize(length_);
}

Builder::ScopeGuard Builder::Scope(absl::string_view name) {
  ScopeGuard guard(this, prefix_.size());
  absl::StrAppend(&prefix_, name, ".");
  return guard;
}

Builder::ScopeGuard Builder::Scope(absl::string_view name, int64_t index) {
  return Scope(absl::StrCat(name, ".", index));
}

// ---- Sources.

Tensor Builder::Input(absl::string_view name, DType dtype, const Shape& shape) {
  if (!ok()) return {};
  if (name == "weight") return FailOp("Input", "the name 'weight' is taken by the sample weights", {});
  for (const graph::Input& input : graph_.inputs) {
    if (input.name == name)
      return FailOp("Input", absl::StrCat("there is already an input '", name, "'"), {});
  }
  const TensorType type{dtype, FullShape(true, shape)};
  const auto id = static_cast<ValueId>(graph_.values.size());
  graph_.values.push_back(
      {std::string(name), type, Source::kInput, static_cast<int>(graph_.inputs.size()), 0});
  graph_.inputs.push_back({std::string(name), type, id});
  return Wrap(id, true);
}

std::string Builder::UniqueParameterName(absl::string_view op, absl::string_view name) {
  std::string full = absl::StrCat(prefix_, name);
  const auto same = [&](const auto& entry) { return entry.name == full; };
  if (std::any_of(graph_.parameters.begin(), graph_.parameters.end(), same) ||
      std::any_of(graph_.states.begin(), graph_.states.end(), same)) {
    FailOp(op,
           absl::StrCat("there is already a tensor '", full,
                        "'; open another Scope, or use its Tensor again to tie"),
           {});
  }
  return full;
}

Tensor Builder::Parameter(absl::string_view name, const Shape& shape, const Initializer& initializer) {
  if (!ok()) return {};
  std::string full = UniqueParameterName("Parameter", name);
  if (!ok()) return {};
  if (shape.NumElements() == 0)
    return FailOp("Parameter", absl::StrCat("'", full, "' ", shape.ToString(), " is empty"), {});
  const auto id = static_cast<ValueId>(graph_.values.size());
  graph_.values.push_back(
      {full, {DType::kF32, shape}, Source::kParameter, static_cast<int>(graph_.parameters.size()), 0});
  graph_.parameters.push_back({full, shape, initializer, id});
  return Wrap(id, false);
}

Tensor Builder::State(absl::string_view name, const Shape& shape, float initial) {
  if (!ok()) return {};
  std::string full = UniqueParameterName("State", name);
  if (!ok()) return {};
  const auto id = static_cast<ValueId>(graph_.values.size());
  graph_.values.push_back(
      {full, {DType::kF32, shape}, Source::kState, static_cast<int>(graph_.states.size()), 0});
  graph_.states.push_back({full, shape, initial, id});
  return Wrap(id, false);
}

Tensor Builder::SampleWeight() { return {graph_.sample_weight}; }

// ---- What is known of a tensor.

Shape Builder::shape(Tensor x) const {
  if (!x.valid()) return {};
  const Shape& full = graph_.type(x.id).shape;
  if (!batched_[x.id]) return full;
  Shape shape;
  for (int i = 1; i < full.rank(); ++i) shape.Append(full[i]);
  return shape;
}

DType Builder::dtype(Tensor x) const { return x.valid() ? graph_.type(x.id).dtype : DType::kF32; }

bool Builder::batched(Tensor x) const { return x.valid() && batched_[x.id]; }

// ---- Errors.

void Builder::Fail(const absl::Status& status) {
  if (error_.ok()) error_ = status;
}

Tensor Builder::FailOp(absl::string_view op, absl::string_view message, absl::Span<const Tensor> tensors) {
  std::string operands;
  for (Tensor tensor : tensors) {
    absl::StrAppend(&operands, operands.empty() ? "" : ", ", NameOf(dtype(tensor)), shape(tensor).ToString());
  }
  const absl::string_view scope = absl::StripSuffix(prefix_, ".");
  Fail(ConfigError(absl::StrCat("model: ", op, scope.empty() ? "" : absl::StrCat(" in '", scope, "'"),
                                operands.empty() ? "" : absl::StrCat(" of ", operands), ": ", message)));
  return {};
}

// False: an earlier error, or (recorded) a tensor that no operator made.
bool Builder::Usable(absl::string_view op, absl::Span<const Tensor> tensors) {
  for (size_t i = 0; ok() && i < tensors.size(); ++i) {
    if (tensors[i].id < 0 || tensors[i].id >= static_cast<ValueId>(graph_.values.size())) {
      FailOp(op, absl::StrCat("operand ", i, " is not a tensor of this builder"), {});
    }
  }
  return ok();
}

// ---- Making nodes.

std::string Builder::OpName(absl::string_view op) const { return absl::StrCat(prefix_, op); }

Shape Builder::FullShape(bool batched, const Shape& shape) const {
  if (!batched) return shape;
  Shape full{graph_.micro_batch};
  for (int64_t size : shape.dims().subspan(0, std::min(shape.rank(), Shape::kMaxRank - 1))) full.Append(size);
  return full;
}

Tensor Builder::Wrap(ValueId id, bool batched) {
  batched_.resize(graph_.values.size(), batched);
  return {id};
}

int Builder::FullAxis(Tensor x, int axis) const {
  const int rank = shape(x).rank();
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return -1;
  return axis + (batched(x) ? 1 : 0);
}

Tensor Builder::Op(absl::string_view op, kernels::OpKind kind, kernels::OpAttributes attributes,
                   absl::Span<const Tensor> inputs, bool batched, std::vector<ValueId>* outputs) {
  if (!Usable(op, inputs)) return {};
  std::vector<ValueId> ids;
  for (Tensor input : inputs) ids.push_back(input.id);
  absl::StatusOr<std::vector<ValueId>> made =
      graph_.Append(OpName(op), kind, std::move(attributes), std::move(ids));
  if (!made.ok()) {
    absl::string_view message = made.status().message();
    absl::ConsumePrefix(&message, absl::StrCat(OpName(op), ": "));
    return FailOp(op, message, inputs);
  }
  batched_.resize(graph_.values.size(), batched);
  if (outputs != nullptr) *outputs = *made;
  return {made->front()};
}

absl::StatusOr<Graph> Builder::Finish() && {
  if (!error_.ok()) return error_;
  return std::move(graph_);
}

}  // namespace lockstep::graph
