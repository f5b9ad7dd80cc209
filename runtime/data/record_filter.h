// Which records of a data set are used: conditions on their features, looked at once, when the data are
// opened.
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_FILTER_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_FILTER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/feature_spec.h"

namespace lockstep::data {

// A feature of a tf.train.Example, or of the context of a SequenceExample. Every part that is given must
// hold; a record without the feature has no values.
struct RecordCondition {
  std::string feature;
  // Every number of the feature lies in [least, most]. A record without a number, or with strings, is not
  // taken.
  std::optional<double> least = {}, most = {};
  // The feature has one value, and it is one of these: a string, or an integer in decimal.
  std::vector<std::string> values = {};
  // So many values: strings, floats or integers.
  int64_t least_count = 0;
  std::optional<int64_t> most_count = {};
};

// Immutable and thread-safe.
class RecordFilter {
 public:
  explicit RecordFilter(std::vector<RecordCondition> conditions);

  // Whether all conditions hold for `record`. Error: DataError for bytes that are no tf.train.Example.
  absl::StatusOr<bool> Takes(absl::string_view record) const;

 private:
  std::vector<RecordCondition> conditions_;
  std::vector<FeatureSpec> wanted_;  // each feature once
  std::vector<size_t> feature_of_;   // each condition's place in wanted_
};

// A set of numbers in [0, size): one bit each, and 8 bytes for 4096 of them. Immutable and thread-safe.
class KeptRecords {
 public:
  // keep(i) for every i of [0, size), by `threads` threads. Error: that of the smallest chunk of numbers
  // that has one.
  static absl::StatusOr<KeptRecords> Choose(int64_t size, int threads,
                                            const std::function<absl::StatusOr<bool>(int64_t)>& keep);

  int64_t size() const { return before_.back(); }  // how many are kept
  int64_t At(int64_t index) const;                 // the index-th of them, index in [0, size)

 private:
  static constexpr int64_t kChunk = 4096, kWords = kChunk / 64;
  std::vector<uint64_t> bits_;
  std::vector<int64_t> before_ = {0};  // kept before each chunk, and all
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_FILTER_H_
