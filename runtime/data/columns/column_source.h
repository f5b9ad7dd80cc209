// Samples that are records of a table, through columns.
#ifndef LOCKSTEP_RUNTIME_DATA_COLUMNS_COLUMN_SOURCE_H_
#define LOCKSTEP_RUNTIME_DATA_COLUMNS_COLUMN_SOURCE_H_

#include <memory>
#include <vector>

#include "runtime/core/status.h"
#include "runtime/data/columns/column.h"
#include "runtime/data/dataset.h"
#include "runtime/data/feature_spec.h"
#include "runtime/data/sample_source.h"

namespace lockstep::data {

// Sample i is record i. Inputs: "columns", the label as it is named, and where columns have tables
// "columns.ids" and "columns.weights" (column.h). The fingerprint covers the records and
// CanonicalText(columns). The first record is tried at once. Errors: ConfigError of columns and label,
// DataError of the record.
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeColumnSource(std::shared_ptr<const Dataset> dataset,
                                                                     std::vector<ColumnSpec> columns,
                                                                     FeatureSpec label);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_COLUMNS_COLUMN_SOURCE_H_
