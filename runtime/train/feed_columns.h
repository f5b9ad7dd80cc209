// data.columns of a configuration as columns of a table. Only feed.cc includes it.
#ifndef LOCKSTEP_RUNTIME_TRAIN_FEED_COLUMNS_H_
#define LOCKSTEP_RUNTIME_TRAIN_FEED_COLUMNS_H_

#include <string>
#include <vector>

#include "proto/run_config.pb.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/columns/column.h"
#include "runtime/data/dataset.h"
#include "runtime/nn/data_spec.h"

namespace lockstep::train {

// With what the statistics say of the training data `dataset` filled in. Errors: ConfigError naming the
// column, DataError where the statistics cannot be read or are of other data.
absl::StatusOr<std::vector<data::ColumnSpec>> ResolveColumns(const ColumnData& config,
                                                             const data::Dataset& dataset,
                                                             const std::string& config_path, FileSystem* fs);

// The tables that a model must have for them.
std::vector<nn::TableSpec> TablesOf(const std::vector<data::ColumnSpec>& columns);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_FEED_COLUMNS_H_
