// From the features of a record to what columns make of them.
#ifndef LOCKSTEP_RUNTIME_DATA_COLUMNS_COLUMN_TRANSFORM_H_
#define LOCKSTEP_RUNTIME_DATA_COLUMNS_COLUMN_TRANSFORM_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/columns/column.h"
#include "runtime/data/feature_spec.h"
#include "runtime/data/feature_values.h"

namespace lockstep::data {

// The id of one combination of a cross: `values` are its keys' (an id; of a feature the stored integer, or
// the Fingerprint64 of the stored string), folded from kCrossKey on by CombineFingerprints, % rows. As
// tf.feature_column.crossed_column.
int64_t Cross(const std::vector<uint64_t>& values, int64_t rows);

// Immutable and thread-safe.
class ColumnTransform {
 public:
  // Error: that of CheckColumns.
  static absl::StatusOr<ColumnTransform> Create(std::vector<ColumnSpec> columns);

  const std::vector<ColumnSpec>& columns() const { return columns_; }
  const ColumnLayout& layout() const { return layout_; }

  // What is reused from record to record; one a thread.
  struct Scratch {
    std::vector<FeatureValues> features;    // of each wanted feature
    std::vector<std::vector<int64_t>> ids;  // of each column; -1: counts nothing
    std::vector<std::vector<uint64_t>> keys;
    std::vector<uint64_t> combination;
  };

  // Writes layout().dense numbers and layout().slots ids and weights. Error: DataError naming column and
  // feature.
  absl::Status Apply(absl::string_view record, Scratch* scratch, float* dense, int32_t* ids,
                     float* weights) const;

 private:
  ColumnTransform() = default;
  absl::Status ReadRecord(absl::string_view record, Scratch* scratch) const;
  absl::Status FindIds(size_t column, Scratch* scratch) const;
  absl::Status CrossIds(size_t column, Scratch* scratch) const;
  absl::Status NumberIds(const ColumnSpec& column, const FeatureValues& values,
                         std::vector<int64_t>* ids) const;
  absl::Status CategoryIds(size_t column, const FeatureValues& values, std::vector<int64_t>* ids) const;
  absl::Status WriteNumbers(const ColumnSpec& column, const FeatureValues& values, float* out) const;

  std::vector<ColumnSpec> columns_;
  ColumnLayout layout_;
  std::vector<FeatureSpec> wanted_;  // only the names
  std::vector<size_t> most_values_;  // that some column takes of each
  std::vector<int> feature_of_;      // of each column in wanted_; -1 for a cross
  // Of each cross its keys: a column's place, or -1 - a feature's place.
  std::vector<std::vector<int>> keys_of_;
  std::vector<absl::flat_hash_map<std::string, int64_t>> places_;  // of each column's vocabulary
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_COLUMNS_COLUMN_TRANSFORM_H_
