// Builder: losses and metrics, which are sums over weighted rows.
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/graph/builder.h"

namespace lockstep::graph {

using kernels::OpKind;

namespace {

kernels::ReduceAttributes SumOfAll(int64_t elements) {
  kernels::ReduceAttributes all;
  all.reduce = elements;
  return all;
}

}  // namespace

// One weight for each row of a tensor of `rows` rows a sample: the sample's weight (times the row's mask).
bool Builder::RowsOf(absl::string_view op, const Shape& rows, Tensor mask, RowWeights* weights) {
  const std::string key = absl::StrCat(rows.ToString(), "/", mask.id);
  if (const auto found = row_weights_.find(key); found != row_weights_.end()) {
    *weights = found->second;
    return true;
  }
  if (mask.valid() && (shape(mask) != rows || !batched(mask))) {
    FailOp(op, absl::StrCat("needs a mask of one value a row, ", rows.ToString()), {mask});
    return false;
  }
  Tensor row_weight = SampleWeight();
  if (mask.valid()) {
    row_weight = Mul(mask, row_weight);
  } else if (rows.rank() > 0) {
    kernels::ProgramAttributes repeat;
    repeat.program.Append({.op = kernels::ProgramOp::kLoad, .a = 0});
    repeat.program.outputs = {0};
    repeat.full_shape = FullShape(true, rows);
    row_weight = Op("row_weight", OpKind::kElementwise, repeat, {ExpandTo(row_weight, rows, true)}, true);
  }
  const ValueId counted = mask.valid() ? row_weight.id : graph_.sample_weight;
  if (!ok()) return false;
  ValueId& total = weight_sums_.emplace(counted, kNoValue).first->second;
  if (total == kNoValue) {
    const int64_t elements = graph_.type(counted).shape.NumElements();
    total = Op("weight_sum", OpKind::kReduceSum, SumOfAll(elements), {Tensor{counted}}, false).id;
  }
  if (!ok()) return false;
  weights->rows = row_weight.id;
  weights->denominator.weight = total;
  weights->denominator.weight_scale = mask.valid() ? 1 : static_cast<double>(rows.NumElements());
  row_weights_[key] = *weights;
  return true;
}

// What to report of `value`: a loss function's own sum, or the weighted sum of all elements.
bool Builder::SumOf(absl::string_view op, Tensor value, WeightedSum* sum) {
  if (const auto found = loss_sums_.find(value.id); found != loss_sums_.end()) {
    *sum = found->second;
    return true;
  }
  if (!batched(value) || dtype(value) != DType::kF32) {
    FailOp(op, "needs the result of a loss function or an F32 tensor that depends on the sample", {value});
    return false;
  }
  RowWeights weights;
  if (!RowsOf(op, Shape{}, {}, &weights)) return false;
  const Tensor weighted = Mul(value, SampleWeight());
  if (!weighted.valid()) return false;
  const int64_t elements = graph_.type(weighted.id).shape.NumElements();
  const Tensor total = Op("weighted_sum", OpKind::kReduceSum, SumOfAll(elements), {weighted}, false);
  if (!total.valid()) return false;
  *sum = weights.denominator;
  sum->numerator = total.id;
  sum->weight_scale = static_cast<double>(shape(value).NumElements());
  return true;
}

// A node over [rows, columns], [rows] and the row weights, whose first output is a weighted sum.
Tensor Builder::RowLoss(absl::string_view op, OpKind kind, Tensor x, Tensor y, const Shape& rows, Tensor mask,
                        Tensor share) {
  RowWeights weights;
  if (!RowsOf(op, rows, mask, &weights)) return {};
  if (share.valid()) {  // of the row's value, not of what it counts
    const Tensor shared = Mul(share, Wrap(weights.rows, true));
    if (!shared.valid()) return {};
    weights.rows = shared.id;
  }
  const int64_t count = graph_.micro_batch * rows.NumElements();
  const Shape matrix{count, count == 0 ? 0 : graph_.type(x.id).shape.NumElements() / count};
  const Tensor flat_x = Wrap(graph_.View(x.id, matrix), true);
  const bool labels = kind != OpKind::kMeanSquaredError;
  const Tensor flat_y = Wrap(graph_.View(y.id, labels ? Shape{count} : matrix), true);
  const Tensor flat_weights = Wrap(graph_.View(weights.rows, {count}), true);
  std::vector<ValueId> outputs;
  const Tensor sum = Op(op, kind, kernels::NoAttributes{}, {flat_x, flat_y, flat_weights}, false, &outputs);
  if (!sum.valid()) return {};
  weights.denominator.numerator = sum.id;
  loss_sums_[sum.id] = weights.denominator;
  if (kind == OpKind::kCrossEntropy) graph_.checks.push_back({outputs[2], y.id, matrix[1], OpName(op)});
  return sum;
}

namespace {

// `shape` without its last dimension.
Shape RowsIn(const Shape& shape) {
  Shape rows;
  for (int i = 0; i + 1 < shape.rank(); ++i) rows.Append(shape[i]);
  return rows;
}

}  // namespace

Tensor Builder::CrossEntropy(Tensor logits, Tensor labels, Tensor mask, Tensor share) {
  if (!Usable("cross_entropy", {logits, labels})) return {};
  if (!batched(logits) || !batched(labels) || shape(logits).rank() < 1 ||
      shape(labels) != RowsIn(shape(logits))) {
    return FailOp("cross_entropy", "needs logits [.., V] and labels [..]", {logits, labels});
  }
  if (share.valid() && (shape(share) != shape(labels) || !batched(share) || dtype(share) != DType::kF32)) {
    return FailOp("cross_entropy", "needs F32 shares of the labels' shape", {labels, share});
  }
  return RowLoss("cross_entropy", OpKind::kCrossEntropy, logits, labels, shape(labels), mask, share);
}

Tensor Builder::Accuracy(Tensor logits, Tensor labels, Tensor mask) {
  if (!Usable("accuracy", {logits, labels})) return {};
  if (!batched(logits) || !batched(labels) || shape(logits).rank() < 1 ||
      shape(labels) != RowsIn(shape(logits))) {
    return FailOp("accuracy", "needs logits [.., V] and labels [..]", {logits, labels});
  }
  return RowLoss("accuracy", OpKind::kAccuracy, logits, labels, shape(labels), mask);
}

Tensor Builder::MeanSquaredError(Tensor prediction, Tensor target) {
  if (!Usable("mean_squared_error", {prediction, target})) return {};
  if (!batched(prediction) || !batched(target) || shape(prediction) != shape(target)) {
    return FailOp("mean_squared_error", "needs prediction and target of one shape", {prediction, target});
  }
  target = ToFloat(target);
  return RowLoss("mean_squared_error", OpKind::kMeanSquaredError, prediction, target,
                 RowsIn(shape(prediction)), {});
}

void Builder::Loss(Tensor value, float factor) {
  LossTerm term;
  if (!Usable("Loss", {value}) || !SumOf("Loss", value, &term.sum)) return;
  term.sum.name = "loss";
  term.factor = factor;
  if (!graph_.loss.empty()) {
    const WeightedSum& first = graph_.loss.front().sum;
    if (first.weight != term.sum.weight) {
      FailOp("Loss", "losses over different masks cannot be added: their weights differ", {value});
      return;
    }
    term.factor = static_cast<float>(factor * first.weight_scale / term.sum.weight_scale);
  }
  graph_.loss.push_back(term);
}

void Builder::Metric(absl::string_view name, Tensor value) {
  WeightedSum sum;
  if (!Usable("Metric", {value}) || !SumOf("Metric", value, &sum)) return;
  for (const WeightedSum& metric : graph_.metrics) {
    if (metric.name == name) FailOp("Metric", absl::StrCat("there is already a metric '", name, "'"), {});
  }
  sum.name = std::string(name);
  graph_.metrics.push_back(sum);
}

void Builder::Output(absl::string_view name, Tensor value) {
  if (!Usable("Output", {value})) return;
  for (const NamedValue& output : graph_.outputs) {
    if (output.name == name) FailOp("Output", absl::StrCat("there is already an output '", name, "'"), {});
  }
  graph_.outputs.push_back({std::string(name), value.id});
}

}  // namespace lockstep::graph
