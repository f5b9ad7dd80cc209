#include "runtime/data/columns/column_transform.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "runtime/data/columns/fingerprint64.h"
#include "runtime/data/example_wire.h"

namespace lockstep::data {
namespace {

absl::Status Wrong(const ColumnSpec& column, absl::string_view what) {
  return DataError(absl::StrCat("column '", column.name, "': feature '", column.feature, "' ", what));
}

// A stored integer as it is looked up.
class Decimal {
 public:
  explicit Decimal(int64_t value) : end_(std::to_chars(digits_, digits_ + sizeof digits_, value).ptr) {}
  absl::string_view text() const { return {digits_, static_cast<size_t>(end_ - digits_)}; }

 private:
  char digits_[24];
  char* end_;
};

// visit(number) for each of exactly column.length stored numbers.
template <typename Visit>
absl::Status ForEachNumber(const ColumnSpec& column, const FeatureValues& values, const Visit& visit) {
  const auto found = static_cast<int64_t>(values.count);
  if (found == 0 && column.missing) {
    for (int64_t i = 0; i < column.length; ++i) RETURN_IF_ERROR(visit(i, double{*column.missing}));
    return absl::OkStatus();
  }
  if (values.kind == FeatureKind::kNone || values.kind == FeatureKind::kBytes) {
    return Wrong(column, values.kind == FeatureKind::kNone
                             ? "is not there; give `missing`, a number that stands for it"
                             : "holds strings, not numbers");
  }
  if (found != column.length)
    return Wrong(column, absl::StrCat("has ", found, " numbers; wanted ", column.length));
  for (int64_t i = 0; i < found; ++i) {
    const double value = values.kind == FeatureKind::kFloat ? double{values.floats[i]}
                                                            : static_cast<double>(values.integers[i]);
    RETURN_IF_ERROR(visit(i, value));
  }
  return absl::OkStatus();
}

float WeightOf(Combiner combiner, int64_t count) {
  if (combiner == Combiner::kSum || count == 0) return 1;
  return combiner == Combiner::kMean ? 1 / static_cast<float>(count)
                                     : 1 / std::sqrt(static_cast<float>(count));
}

}  // namespace

int64_t Cross(const std::vector<uint64_t>& values, int64_t rows) {
  uint64_t hash = kCrossKey;
  for (const uint64_t value : values) hash = CombineFingerprints(hash, value);
  return static_cast<int64_t>(hash % static_cast<uint64_t>(rows));
}

absl::StatusOr<ColumnTransform> ColumnTransform::Create(std::vector<ColumnSpec> columns) {
  RETURN_IF_ERROR(CheckColumns(columns));
  ColumnTransform transform;
  transform.columns_ = std::move(columns);
  transform.layout_ = LayoutOf(transform.columns_);
  const auto want = [&transform](const std::string& feature, int64_t length) {
    std::vector<FeatureSpec>& wanted = transform.wanted_;
    const auto at =
        std::find_if(wanted.begin(), wanted.end(), [&](const auto& spec) { return spec.name == feature; });
    const int place = static_cast<int>(at - wanted.begin());
    if (at == wanted.end()) {
      wanted.push_back({.name = feature, .type = {}});
      transform.most_values_.push_back(0);
    }
    size_t& most = transform.most_values_[static_cast<size_t>(place)];
    most = std::max(most, static_cast<size_t>(length));
    return place;
  };
  for (const ColumnSpec& column : transform.columns_) {
    transform.feature_of_.push_back(
        column.kind == ColumnKind::kCrossed ? -1 : want(column.feature, column.length));
    std::vector<int>& keys = transform.keys_of_.emplace_back();
    for (const std::string& key : column.keys) {
      const auto of = std::find_if(
          transform.columns_.begin(), transform.columns_.end(),
          [&](const ColumnSpec& other) { return other.name == key && other.kind != ColumnKind::kHashed; });
      keys.push_back(of != transform.columns_.end() ? static_cast<int>(of - transform.columns_.begin())
                                                    : -1 - want(key, column.length));
    }
    auto& places = transform.places_.emplace_back();
    for (size_t i = 0; i < column.vocabulary.size(); ++i)
      places[column.vocabulary[i]] = static_cast<int64_t>(i);
  }
  return transform;
}

absl::Status ColumnTransform::ReadRecord(absl::string_view record, Scratch* scratch) const {
  Entries entries;
  if (!FindEntries(record, kFeaturesField, wanted_, &entries)) return NotOfKind("tf.train.Example");
  scratch->features.resize(wanted_.size());
  for (size_t i = 0; i < wanted_.size(); ++i) {
    scratch->features[i].Clear();
    scratch->features[i].limit = most_values_[i];
    if (!scratch->features[i].ReadEntry(entries[i])) return NotOfKind("tf.train.Example");
  }
  return absl::OkStatus();
}

absl::Status ColumnTransform::WriteNumbers(const ColumnSpec& column, const FeatureValues& values,
                                           float* out) const {
  return ForEachNumber(column, values, [&](int64_t i, double value) {
    if (column.log && !(value > -1))
      return Wrong(column, absl::StrCat("is ", value, ", of which log(1 + x) cannot be taken"));
    const double mean = column.mean[column.mean.size() == 1 ? 0 : i];
    const double std = column.std[column.std.size() == 1 ? 0 : i];
    out[i] = static_cast<float>(((column.log ? std::log1p(value) : value) - mean) / std);
    return absl::OkStatus();
  });
}

absl::Status ColumnTransform::NumberIds(const ColumnSpec& column, const FeatureValues& values,
                                        std::vector<int64_t>* ids) const {
  const auto buckets = static_cast<int64_t>(column.boundaries.size()) + 1;
  return ForEachNumber(column, values, [&](int64_t i, double value) {
    // Boundaries are compared in fp32, as numbers are stored.
    const auto above =
        std::upper_bound(column.boundaries.begin(), column.boundaries.end(), static_cast<float>(value),
                         [](float x, double boundary) { return x < static_cast<float>(boundary); });
    ids->push_back(above - column.boundaries.begin() + i * buckets);
    return absl::OkStatus();
  });
}

absl::Status ColumnTransform::CategoryIds(size_t index, const FeatureValues& values,
                                          std::vector<int64_t>* ids) const {
  const ColumnSpec& column = columns_[index];
  if (values.kind == FeatureKind::kFloat)
    return Wrong(column, "holds floats, which are no categories; use buckets");
  if (static_cast<int64_t>(values.count) > column.length) {
    return Wrong(column,
                 absl::StrCat("has ", values.count, " values; there is room for length: ", column.length));
  }
  if (column.kind == ColumnKind::kIdentity) {
    if (values.kind == FeatureKind::kBytes) return Wrong(column, "holds strings; ids are integers");
    for (const int64_t value : values.integers) {
      if (value < 0 || value >= column.rows)
        return Wrong(column, absl::StrCat("is ", value, ", not in [0, ", column.rows, ")"));
      ids->push_back(value);
    }
    return absl::OkStatus();
  }
  const auto add = [&](absl::string_view text) {
    if (column.kind == ColumnKind::kHashed) {
      ids->push_back(static_cast<int64_t>(Fingerprint64(text) % static_cast<uint64_t>(column.rows)));
      return;
    }
    const auto at = places_[index].find(text);
    if (at != places_[index].end()) return ids->push_back(at->second);
    const auto unknown = static_cast<uint64_t>(column.unknown_buckets);
    ids->push_back(
        unknown == 0 ? -1 : static_cast<int64_t>(column.vocabulary.size() + Fingerprint64(text) % unknown));
  };
  for (const absl::string_view text : values.strings) add(text);
  for (const int64_t value : values.integers) add(Decimal(value).text());
  return absl::OkStatus();
}

absl::Status ColumnTransform::CrossIds(size_t index, Scratch* scratch) const {
  const ColumnSpec& column = columns_[index];
  scratch->keys.resize(std::max(scratch->keys.size(), column.keys.size()));
  for (size_t k = 0; k < column.keys.size(); ++k) {
    std::vector<uint64_t>& values = scratch->keys[k];
    values.clear();
    const int key = keys_of_[index][k];
    if (key >= 0) {
      values.assign(scratch->ids[key].begin(), scratch->ids[key].end());
      continue;
    }
    const FeatureValues& feature = scratch->features[-1 - key];
    if (feature.kind == FeatureKind::kFloat || static_cast<int64_t>(feature.count) > column.length) {
      return DataError(absl::StrCat(
          "column '", column.name, "': feature '", column.keys[k], "' ",
          feature.kind == FeatureKind::kFloat
              ? "holds floats; cross the buckets of a column instead"
              : absl::StrCat("has ", feature.count, " values; there is room for length: ", column.length)));
    }
    for (const absl::string_view text : feature.strings) values.push_back(Fingerprint64(text));
    values.insert(values.end(), feature.integers.begin(), feature.integers.end());
  }
  // All combinations, the last key's values first.
  size_t combinations = 1;
  for (size_t k = 0; k < column.keys.size(); ++k) combinations *= scratch->keys[k].size();
  std::vector<uint64_t>& values = scratch->combination;
  values.resize(column.keys.size());
  for (size_t c = 0; c < combinations; ++c) {
    size_t rest = c;
    for (size_t k = column.keys.size(); k-- > 0; rest /= scratch->keys[k].size())
      values[k] = scratch->keys[k][rest % scratch->keys[k].size()];
    scratch->ids[index].push_back(Cross(values, column.rows));
  }
  return absl::OkStatus();
}

absl::Status ColumnTransform::FindIds(size_t index, Scratch* scratch) const {
  const ColumnSpec& column = columns_[index];
  const FeatureValues& values = scratch->features[feature_of_[index]];
  if (column.kind == ColumnKind::kBuckets) return NumberIds(column, values, &scratch->ids[index]);
  return CategoryIds(index, values, &scratch->ids[index]);
}

absl::Status ColumnTransform::Apply(absl::string_view record, Scratch* scratch, float* dense, int32_t* ids,
                                    float* weights) const {
  RETURN_IF_ERROR(ReadRecord(record, scratch));
  scratch->ids.resize(columns_.size());
  for (auto& of_column : scratch->ids) of_column.clear();
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].kind == ColumnKind::kNumeric || columns_[i].kind == ColumnKind::kCrossed) continue;
    RETURN_IF_ERROR(FindIds(i, scratch));
  }
  std::fill(dense, dense + layout_.dense, 0.0f);
  std::fill(ids, ids + layout_.slots, 0);
  std::fill(weights, weights + layout_.slots, 0.0f);
  for (size_t i = 0; i < columns_.size(); ++i) {
    const ColumnSpec& column = columns_[i];
    if (column.kind == ColumnKind::kNumeric) {
      RETURN_IF_ERROR(WriteNumbers(column, scratch->features[feature_of_[i]], dense));
      dense += column.length;
      continue;
    }
    if (column.kind == ColumnKind::kCrossed) RETURN_IF_ERROR(CrossIds(i, scratch));
    const std::vector<int64_t>& found = scratch->ids[i];
    if (column.use == ColumnUse::kDense) {
      for (const int64_t id : found) {
        if (id >= 0) dense[id] += 1;
      }
      dense += RowsOf(column);
      continue;
    }
    const auto count = found.size() - static_cast<size_t>(std::count(found.begin(), found.end(), -1));
    const float weight =
        column.use == ColumnUse::kLinear ? 1 : WeightOf(column.combiner, static_cast<int64_t>(count));
    size_t slot = 0;
    for (const int64_t id : found) {
      if (id < 0) continue;
      ids[slot] = static_cast<int32_t>(id);
      weights[slot++] = weight;
    }
    const int64_t slots = MostValues(columns_, column);
    ids += slots;
    weights += slots;
  }
  return absl::OkStatus();
}

}  // namespace lockstep::data
