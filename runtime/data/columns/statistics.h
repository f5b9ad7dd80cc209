// What `lockstep records stat --out` finds in record files and columns take their means, ranges and
// vocabularies from. It is kept as a JSON file beside the data and says which data it is of.
#ifndef LOCKSTEP_RUNTIME_DATA_COLUMNS_STATISTICS_H_
#define LOCKSTEP_RUNTIME_DATA_COLUMNS_STATISTICS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/dataset.h"

namespace lockstep::data {

// Of the numbers at one place of a feature, or of all its numbers. Computed in double, in the order of the
// records.
struct NumberStatistics {
  int64_t count = 0;  // of finite numbers; the rest leaves them out of all that follows
  int64_t not_finite = 0;
  double mean = 0, std = 0, min = 0, max = 0;  // std: of the whole population (divided by count)
  // The same of log(1 + x); all 0 where some x is not above -1.
  double log_mean = 0, log_std = 0, log_min = 0, log_max = 0;
  // q[i] is the smallest value that at least i % of the values do not exceed, i = 0 .. 100; of more than
  // kMostSamples values from every 2nd, 4th, 8th ... of them. Empty where there are none, and for each
  // place of more than kMostQuantilePlaces.
  std::vector<double> quantiles;
  // How many of those values lie in each of kHistogramBins equal parts of [min, max].
  std::vector<int64_t> histogram;
};
inline constexpr int64_t kMostSamples = 16384, kMostQuantilePlaces = 64;
inline constexpr int kHistogramBins = 20;

struct ValueCount {
  std::string value;
  int64_t count = 0;
};

// One feature of one type (one that changes its type has several).
struct FeatureStatistics {
  std::string type;                                    // "bytes", "float", "int64", "none" (no list)
  int64_t records = 0;                                 // that have it
  int64_t elements = 0;                                // numbers, or strings
  int64_t min_length = 0, max_length = 0;              // elements a record
  int64_t min_string_bytes = 0, max_string_bytes = 0;  // of bytes
  // Of numbers: one for each place where every record has equally many (up to kMostPlaces), else one for
  // all. Of strings: one for all their bytes, without quantiles.
  std::vector<NumberStatistics> numbers;
  // The different strings (text up to kMostValueBytes) or integers, the most frequent first, equally frequent
  // ones in the order of their bytes; empty where there are more than kMostValues, or some string is no text.
  std::vector<ValueCount> values;
  bool all_values = false;  // whether they are all
};
inline constexpr int64_t kMostPlaces = 1024, kMostValues = 65536, kMostValueBytes = 256;

struct FileFact {
  std::string name;  // without folder
  int64_t records = 0;
  uint64_t content_hash = 0;
};

std::vector<FileFact> FactsOf(const Dataset& dataset);

struct Statistics {
  std::string fingerprint;  // of the data set
  int64_t records = 0;
  int64_t other_records = 0;  // that are neither Example nor SequenceExample
  int64_t min_record_bytes = 0, max_record_bytes = 0;
  std::vector<FileFact> files;
  std::map<std::string, std::vector<FeatureStatistics>> features;  // of Examples, and contexts
  std::map<std::string, std::vector<FeatureStatistics>>
      lists;  // of SequenceExamples; a step counts as a record
};

// Reads all records: Examples, and SequenceExamples where the field of their lists is there. Memory is
// bounded by the numbers above, whatever the data.
absl::StatusOr<Statistics> ComputeStatistics(const Dataset& dataset);

std::string WriteStatistics(const Statistics& statistics);  // JSON, the same bytes for the same statistics
// Error: DataError naming `path` and what is wrong.
absl::StatusOr<Statistics> ReadStatistics(absl::string_view path, absl::string_view json);

// Error: DataError that lists which files differ, when `statistics` (of the file at `path`) are not of this
// data.
absl::Status CheckFresh(const Statistics& statistics, absl::string_view path, const Dataset& dataset);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_COLUMNS_STATISTICS_H_
