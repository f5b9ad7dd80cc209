#include "runtime/nn/columns.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/nn/layers.h"

namespace lockstep::nn {
namespace {

using graph::Builder;
using graph::Tensor;

// [width]: the sum over the slots of weight * row.
Tensor Rows(Builder& b, const TableSpec& table, int64_t width, float stddev, const TableInputs& inputs) {
  const Tensor ids = b.Slice(inputs.ids, 0, table.first, table.slots);
  const Tensor weights = b.Slice(inputs.weights, 0, table.first, table.slots);
  const Tensor rows = Embedding(b, table.name, ids, table.rows, width, stddev);
  return b.Sum(b.Mul(rows, b.Reshape(weights, Shape{table.slots, 1})), 0);
}

const FieldSpec* Extra(const DataSpec& data, const std::string& name) {
  for (const FieldSpec& field : data.extra) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

}  // namespace

Tensor InputOf(Builder& b, const DataSpec& data, TableInputs* tables) {
  std::vector<Tensor> parts;
  if (data.tables.empty() || data.input.type.shape.NumElements() > 0) {
    parts.push_back(b.Input(data.input.name, data.input.type.dtype, data.input.type.shape));
  }
  if (data.tables.empty()) return parts[0];
  const FieldSpec* ids = Extra(data, "columns.ids");
  const FieldSpec* weights = Extra(data, "columns.weights");
  if (ids == nullptr || weights == nullptr) {
    b.Fail(ConfigError("the data has tables, but no ids for them"));
    return {};
  }
  tables->ids = b.Input(ids->name, ids->type.dtype, ids->type.shape);
  tables->weights = b.Input(weights->name, weights->type.dtype, weights->type.shape);
  auto scope = b.Scope("columns");
  for (const TableSpec& table : data.tables) {
    if (table.width == 0) continue;
    const float stddev = 1 / std::sqrt(static_cast<float>(table.width));
    parts.push_back(Rows(b, table, table.width, stddev, *tables));
  }
  if (parts.empty()) {
    b.Fail(ConfigError("no column goes into the model"));
    return {};
  }
  return parts.size() == 1 ? parts[0] : b.Concat(parts, 0);
}

Tensor AddLinearColumns(Builder& b, Tensor y, const DataSpec& data, const TableInputs& tables) {
  auto scope = b.Scope("linear");
  for (const TableSpec& table : data.tables) {
    if (table.width > 0 || !b.ok()) continue;
    if (b.shape(y).rank() > 1) {
      b.Fail(ConfigError(
          absl::StrCat("linear columns are added to the model's output, which must be one row a sample, "
                       "not ",
                       b.shape(y).ToString())));
      return {};
    }
    const int64_t width = b.shape(y).NumElements();
    y = b.Add(y, b.Reshape(Rows(b, table, width, 0, tables), b.shape(y)));
  }
  return y;
}

}  // namespace lockstep::nn
