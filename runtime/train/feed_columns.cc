#include "runtime/train/feed_columns.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/core/names.h"
#include "runtime/data/columns/statistics.h"
#include "runtime/train/config.h"
#include "runtime/train/config_checks.h"

namespace lockstep::train {
namespace {

using data::ColumnKind;
using data::ColumnSpec;
using data::FeatureStatistics;
using data::NumberStatistics;
using data::Statistics;

// Columns of one configuration, one after the other.
class Resolver {
 public:
  explicit Resolver(const Statistics* statistics) : statistics_(statistics) {}

  absl::StatusOr<ColumnSpec> Resolve(const Column& config) {
    ColumnSpec column;
    column.feature = config.feature();
    column.name = config.has_name()      ? config.name()
                  : config.has_crossed() ? absl::StrJoin(config.crossed().key(), "_x_")
                                         : config.feature();
    if (config.has_length()) column.length = config.length();
    RETURN_IF_ERROR(ResolveKind(config, &column));
    switch (config.use_case()) {
      case Column::kEmbedding:
        column.use = data::ColumnUse::kTable;
        column.width = config.embedding().width();
        column.combiner = static_cast<data::Combiner>(config.embedding().combiner());
        break;
      case Column::kLinear:
        column.use = data::ColumnUse::kLinear;
        break;
      default:
        break;
    }
    return column;
  }

 private:
  absl::Status ResolveKind(const Column& config, ColumnSpec* column) {
    switch (config.kind_case()) {
      case Column::kNumeric:
        return ResolveNumeric(config.numeric(), column);
      case Column::kBuckets:
        return ResolveBuckets(config.buckets(), column);
      case Column::kIdentity:
        column->kind = ColumnKind::kIdentity;
        column->rows = config.identity().rows();
        return absl::OkStatus();
      case Column::kVocabulary:
        return ResolveVocabulary(config.vocabulary(), column);
      case Column::kHashed:
        column->kind = ColumnKind::kHashed;
        column->rows = config.hashed().rows();
        return absl::OkStatus();
      case Column::kCrossed:
        column->kind = ColumnKind::kCrossed;
        column->rows = config.crossed().rows();
        column->keys = {config.crossed().key().begin(), config.crossed().key().end()};
        return absl::OkStatus();
      case Column::KIND_NOT_SET:
        break;
    }
    return Wrong(absl::StrCat("data.columns: column '", column->name, "'"), "says no kind of column");
  }

  absl::Status ResolveNumeric(const NumericColumn& numeric, ColumnSpec* column) {
    column->log = numeric.log();
    if (numeric.has_missing()) column->missing = numeric.missing();
    if (numeric.mean_size() > 0) column->mean = {numeric.mean().begin(), numeric.mean().end()};
    if (numeric.std_size() > 0) column->std = {numeric.std().begin(), numeric.std().end()};
    if (numeric.normalize() == NumericColumn::AS_IS) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<NumberStatistics>* numbers, Numbers(*column));
    column->mean.clear();
    column->std.clear();
    for (const NumberStatistics& n : *numbers) {
      const double min = column->log ? n.log_min : n.min, max = column->log ? n.log_max : n.max;
      if (column->log && n.log_max == 0 && n.max != 0)
        return NotFit(*column, absl::StrCat("log(1 + x) cannot be taken of ", n.min, ", its least value"));
      const bool standard = numeric.normalize() == NumericColumn::MEAN_STD;
      const double mean = !standard ? min : column->log ? n.log_mean : n.mean;
      const double std = !standard ? max - min : column->log ? n.log_std : n.std;
      column->mean.push_back(mean);
      column->std.push_back(std > 0 ? std : 1);
    }
    return absl::OkStatus();
  }

  absl::Status ResolveBuckets(const BucketsColumn& buckets, ColumnSpec* column) {
    column->kind = ColumnKind::kBuckets;
    if (buckets.has_missing()) column->missing = buckets.missing();
    column->boundaries = {buckets.boundary().begin(), buckets.boundary().end()};
    if (!buckets.has_quantiles()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<NumberStatistics>* numbers, Numbers(*column));
    if (numbers->size() != 1) return NotFit(*column, "quantiles are taken of one number a record");
    const std::vector<double>& quantiles = numbers->front().quantiles;
    if (quantiles.size() != 101) return NotFit(*column, "there are no quantiles of it");
    const int step = 100 / buckets.quantiles();
    for (int percent = step; percent < 100; percent += step) {
      // Equal ones would leave a bucket without a record.
      if (column->boundaries.empty() || quantiles[percent] > column->boundaries.back())
        column->boundaries.push_back(quantiles[percent]);
    }
    return absl::OkStatus();
  }

  absl::Status ResolveVocabulary(const VocabularyColumn& vocabulary, ColumnSpec* column) {
    column->kind = ColumnKind::kVocabulary;
    column->unknown_buckets = vocabulary.unknown_buckets();
    column->vocabulary = {vocabulary.value().begin(), vocabulary.value().end()};
    if (!column->vocabulary.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const FeatureStatistics* feature, Feature(*column));
    if (!feature->all_values) {
      return NotFit(*column, feature->type == "float"
                                 ? "it holds floats, which are no categories; use buckets"
                                 : absl::StrCat("it has more than ", data::kMostValues,
                                                " different values, or some that are no text; use hashed"));
    }
    for (const data::ValueCount& value : feature->values) {
      if (vocabulary.has_most() && static_cast<int64_t>(column->vocabulary.size()) == vocabulary.most())
        break;
      column->vocabulary.push_back(value.value);
    }
    return absl::OkStatus();
  }

  // The one kind of list that the feature is.
  absl::StatusOr<const FeatureStatistics*> Feature(const ColumnSpec& column) {
    if (statistics_ == nullptr) return NotFit(column, "data.columns.statistics is not given");
    const auto at = statistics_->features.find(column.feature);
    if (at == statistics_->features.end()) {
      std::vector<std::string> known;
      for (const auto& [name, types] : statistics_->features) known.push_back(name);
      return NotFit(column, absl::StrCat("there is no feature '", column.feature, "'",
                                         Suggestion(column.feature, known)));
    }
    const FeatureStatistics* found = nullptr;
    for (const FeatureStatistics& feature : at->second) {
      if (feature.type == "none") continue;
      if (found != nullptr) return NotFit(column, "it is of several types");
      found = &feature;
    }
    if (found == nullptr) return NotFit(column, "it never holds anything");
    return found;
  }

  absl::StatusOr<const std::vector<NumberStatistics>*> Numbers(const ColumnSpec& column) {
    ASSIGN_OR_RETURN(const FeatureStatistics* feature, Feature(column));
    if (feature->type == "bytes") return NotFit(column, "it holds strings, not numbers");
    const auto places = static_cast<int64_t>(feature->numbers.size());
    if (places != column.length && places != 1) {
      return NotFit(column, absl::StrCat("it has ", places, " numbers a record, and the column's length is ",
                                         column.length));
    }
    for (const NumberStatistics& n : feature->numbers) {
      if (n.count == 0) return NotFit(column, "no record has a finite number there");
    }
    return &feature->numbers;
  }

  static absl::Status NotFit(const ColumnSpec& column, absl::string_view what) {
    return ConfigError(absl::StrCat("data.columns: column '", column.name,
                                    "' takes something from the statistics of '", column.feature, "', but ",
                                    what));
  }

  const Statistics* statistics_;
};

absl::StatusOr<std::optional<Statistics>> Load(const ColumnData& config, const data::Dataset& dataset,
                                               const std::string& config_path, FileSystem* fs) {
  if (config.statistics().empty()) return std::optional<Statistics>();
  auto path = LocateConfigPath(config.statistics(), config_path, fs);
  if (!path.ok()) return DataError(absl::StrCat("data.columns.statistics: ", path.status().message()));
  auto text = ReadWholeFile(fs, *path);
  if (!text.ok()) return DataError(text.status().message());
  ASSIGN_OR_RETURN(Statistics statistics, data::ReadStatistics(*path, *text));
  RETURN_IF_ERROR(data::CheckFresh(statistics, *path, dataset));
  return std::optional<Statistics>(std::move(statistics));
}

}  // namespace

absl::StatusOr<std::vector<ColumnSpec>> ResolveColumns(const ColumnData& config, const data::Dataset& dataset,
                                                       const std::string& config_path, FileSystem* fs) {
  ASSIGN_OR_RETURN(const std::optional<Statistics> statistics, Load(config, dataset, config_path, fs));
  Resolver resolver(statistics ? &*statistics : nullptr);
  std::vector<ColumnSpec> columns;
  for (const Column& column : config.column()) {
    ASSIGN_OR_RETURN(ColumnSpec spec, resolver.Resolve(column));
    columns.push_back(std::move(spec));
  }
  RETURN_IF_ERROR(data::CheckColumns(columns));
  return columns;
}

std::vector<nn::TableSpec> TablesOf(const std::vector<ColumnSpec>& columns) {
  std::vector<nn::TableSpec> tables;
  for (const data::TableLayout& table : data::LayoutOf(columns).tables) {
    tables.push_back({table.name, table.first_slot, table.slots, table.rows, table.width});
  }
  return tables;
}

}  // namespace lockstep::train
