// Columns of a table as a network wants them: numbers scaled, categories as ids (as tf.feature_column has
// them).
//
// A sample of a table becomes three inputs:
//   "columns"          F32 [dense]   numbers, one-hot and multi-hot categories, column behind column
//   "columns.ids"      I32 [slots]   ids of categories that are looked up in a table; 0 where a slot is empty
//   "columns.weights"  F32 [slots]   what the row of each id is multiplied with; 0 where a slot is empty
// (the last two only where there are such columns). A table's value is the sum over its slots.
#ifndef LOCKSTEP_RUNTIME_DATA_COLUMNS_COLUMN_H_
#define LOCKSTEP_RUNTIME_DATA_COLUMNS_COLUMN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/status.h"

namespace lockstep::data {

enum class ColumnKind : uint8_t {
  kNumeric,     // ((log(1 + x) or x) - mean) / std, in double and rounded to fp32 once
  kBuckets,     // of a number: how many boundaries are <= x; element e of several: + e * (boundaries + 1)
  kIdentity,    // the stored integer, in [0, rows)
  kVocabulary,  // its place in a list; what is not in it: list + Fingerprint64(value) % unknown_buckets
  kHashed,      // Fingerprint64(value) % rows
  kCrossed,     // of every combination of its keys' values: see Cross in column_transform.h
};
enum class ColumnUse : uint8_t {
  kDense,   // numbers; categories as one-hot, counted where a value is there several times
  kTable,   // rows of a table of this column, into the network (an embedding)
  kLinear,  // rows of a table of this column, added to the network's output
};
enum class Combiner : uint8_t { kMean, kSum, kSqrtN };  // of n rows: the sum / n, / 1, / sqrt(n)

// Values are stored as strings or integers; an integer is hashed and looked up as its decimal digits.
struct ColumnSpec {
  std::string name = {};     // unique
  std::string feature = {};  // of the record; not for kCrossed
  ColumnKind kind = ColumnKind::kNumeric;
  // Of numbers: exactly so many. Of categories: at most so many; those that are not there count nothing.
  int64_t length = 1;

  // kNumeric: one a number, or one for all.
  bool log = false;
  std::vector<double> mean = {0}, std = {1};
  std::optional<float> missing =
      std::nullopt;  // kNumeric, kBuckets: stands for each number of a missing feature

  std::vector<double> boundaries = {};       // kBuckets: ascending
  std::vector<std::string> vocabulary = {};  // kVocabulary
  int64_t unknown_buckets = 0;               // kVocabulary; 0: what is not in the list counts nothing
  int64_t rows = 0;                          // kIdentity, kHashed, kCrossed
  // kCrossed: names of kBuckets, kIdentity or kVocabulary columns, whose ids are crossed, or of features,
  // whose values are.
  std::vector<std::string> keys = {};

  ColumnUse use = ColumnUse::kDense;
  int64_t width = 0;  // kTable
  Combiner combiner = Combiner::kMean;
};

// How many ids a column has; 0 for kNumeric.
int64_t RowsOf(const ColumnSpec& column);

// Error: ConfigError naming the column.
absl::Status CheckColumns(const std::vector<ColumnSpec>& columns);

// Where a column's ids lie in "columns.ids".
struct TableLayout {
  std::string name;  // the column's
  int64_t first_slot = 0, slots = 1;
  int64_t rows = 0;
  int64_t width = 0;  // 0: kLinear
};
struct ColumnLayout {
  int64_t dense = 0, slots = 0;
  std::vector<TableLayout> tables;
};
// Of columns that passed CheckColumns.
ColumnLayout LayoutOf(const std::vector<ColumnSpec>& columns);

// How many values a column has at most: length, or for a cross the product over its keys.
int64_t MostValues(const std::vector<ColumnSpec>& columns, const ColumnSpec& column);

// All that decides what comes out, as text: equal for equal columns. Numbers in hexadecimal.
std::string CanonicalText(const std::vector<ColumnSpec>& columns);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_COLUMNS_COLUMN_H_
