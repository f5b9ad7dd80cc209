#include "runtime/data/columns/column.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/core/names.h"

namespace lockstep::data {
namespace {

constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();
constexpr int64_t kMostSlots = 4096;       // of one column
constexpr int64_t kMostDense = 1'000'000;  // of one column

const ColumnSpec* Find(const std::vector<ColumnSpec>& columns, const std::string& name) {
  for (const ColumnSpec& column : columns) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

absl::Status Wrong(const ColumnSpec& column, absl::string_view what) {
  return ConfigError(absl::StrCat("column '", column.name, "' ", what));
}

bool IsNumber(const ColumnSpec& column) {
  return column.kind == ColumnKind::kNumeric || column.kind == ColumnKind::kBuckets;
}

absl::Status CheckNumbers(const ColumnSpec& column) {
  for (const auto* values : {&column.mean, &column.std}) {
    const auto count = static_cast<int64_t>(values->size());
    if (count != 1 && count != column.length) {
      return Wrong(column, absl::StrCat("has ", count, " means or deviations for ", column.length,
                                        " numbers; give one, or one each"));
    }
    for (const double value : *values) {
      if (!std::isfinite(value)) return Wrong(column, "has a mean or a deviation that is not finite");
    }
  }
  for (const double std : column.std) {
    if (!(std > 0)) return Wrong(column, "has a deviation that is not above 0");
  }
  return absl::OkStatus();
}

absl::Status CheckBoundaries(const ColumnSpec& column) {
  if (column.boundaries.empty()) return Wrong(column, "has no boundaries");
  for (size_t i = 0; i < column.boundaries.size(); ++i) {
    if (!std::isfinite(column.boundaries[i]) || (i > 0 && column.boundaries[i] <= column.boundaries[i - 1]))
      return Wrong(column, "needs boundaries that are finite and ascend");
  }
  return absl::OkStatus();
}

absl::Status CheckVocabulary(const ColumnSpec& column) {
  if (column.vocabulary.empty()) return Wrong(column, "has an empty vocabulary");
  std::set<std::string> seen;
  for (const std::string& value : column.vocabulary) {
    if (!seen.insert(value).second)
      return Wrong(column, absl::StrCat("has '", value, "' in its vocabulary twice"));
  }
  return column.unknown_buckets >= 0 ? absl::OkStatus() : Wrong(column, "has fewer than 0 unknown_buckets");
}

absl::Status CheckCross(const std::vector<ColumnSpec>& columns, const ColumnSpec& column) {
  if (column.keys.size() < 2) return Wrong(column, "is crossed of two keys or more");
  std::set<std::string> seen;
  for (const std::string& key : column.keys) {
    if (!seen.insert(key).second) return Wrong(column, absl::StrCat("is crossed of '", key, "' twice"));
    const ColumnSpec* of = Find(columns, key);
    if (of != nullptr && (of->kind == ColumnKind::kNumeric || of->kind == ColumnKind::kCrossed)) {
      return Wrong(column, absl::StrCat("is crossed of '", key,
                                        "', which has no categories of its own: put it into "
                                        "buckets under a name first"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckKind(const std::vector<ColumnSpec>& columns, const ColumnSpec& column) {
  switch (column.kind) {
    case ColumnKind::kNumeric:
      if (column.use != ColumnUse::kDense) return Wrong(column, "is a number, which has no table");
      return CheckNumbers(column);
    case ColumnKind::kBuckets:
      return CheckBoundaries(column);
    case ColumnKind::kVocabulary:
      return CheckVocabulary(column);
    case ColumnKind::kCrossed:
      return CheckCross(columns, column);
    default:
      return absl::OkStatus();
  }
}

absl::Status CheckSizes(const std::vector<ColumnSpec>& columns, const ColumnSpec& column) {
  if (column.length < 1 || column.length > kMostDense)
    return Wrong(column, absl::StrCat("has the length ", column.length));
  if (column.kind == ColumnKind::kNumeric) return absl::OkStatus();
  const int64_t rows = RowsOf(column), values = MostValues(columns, column);
  if (rows < 1 || rows > kMostRows)
    return Wrong(column, absl::StrCat("has ", rows, " ids; 1 to ", kMostRows, " are possible"));
  if (values > kMostSlots)
    return Wrong(column, absl::StrCat("has up to ", values, " values a sample; at most ", kMostSlots,
                                      " are possible"));
  if (column.use == ColumnUse::kDense && rows > kMostDense) {
    return Wrong(column, absl::StrCat("would be ", rows, " numbers as one-hot; use embedding or linear"));
  }
  if (column.use == ColumnUse::kTable && column.width < 1)
    return Wrong(column, "needs the width of its rows");
  return absl::OkStatus();
}

}  // namespace

int64_t RowsOf(const ColumnSpec& column) {
  switch (column.kind) {
    case ColumnKind::kNumeric:
      return 0;
    case ColumnKind::kBuckets:
      return (static_cast<int64_t>(column.boundaries.size()) + 1) * column.length;
    case ColumnKind::kVocabulary:
      return static_cast<int64_t>(column.vocabulary.size()) + column.unknown_buckets;
    default:
      return column.rows;
  }
}

int64_t MostValues(const std::vector<ColumnSpec>& columns, const ColumnSpec& column) {
  if (column.kind != ColumnKind::kCrossed) return column.length;
  int64_t product = 1;
  for (const std::string& key : column.keys) {
    const ColumnSpec* of = Find(columns, key);
    product = std::min<int64_t>(product * (of == nullptr ? column.length : of->length), kMostSlots + 1);
  }
  return product;
}

absl::Status CheckColumns(const std::vector<ColumnSpec>& columns) {
  if (columns.empty()) return ConfigError("there are no columns");
  std::set<std::string> names;
  bool into_network = false;
  for (const ColumnSpec& column : columns) {
    if (column.name.empty()) return ConfigError("a column has no name");
    if (!names.insert(column.name).second) return Wrong(column, "is there twice; give one another name");
    if (column.feature.empty() && column.kind != ColumnKind::kCrossed)
      return Wrong(column, "needs a feature");
    if (column.missing && !IsNumber(column))
      return Wrong(column, "is no number: what is missing counts nothing");
    RETURN_IF_ERROR(CheckKind(columns, column));
    RETURN_IF_ERROR(CheckSizes(columns, column));
    into_network = into_network || column.use != ColumnUse::kLinear;
  }
  return into_network ? absl::OkStatus()
                      : ConfigError(
                            "all columns are linear, so nothing goes into the model: make one of them "
                            "one_hot, an embedding, or a number");
}

ColumnLayout LayoutOf(const std::vector<ColumnSpec>& columns) {
  ColumnLayout layout;
  for (const ColumnSpec& column : columns) {
    if (column.use == ColumnUse::kDense) {
      layout.dense += column.kind == ColumnKind::kNumeric ? column.length : RowsOf(column);
      continue;
    }
    const int64_t slots = MostValues(columns, column);
    layout.tables.push_back({column.name, layout.slots, slots, RowsOf(column),
                             column.use == ColumnUse::kLinear ? 0 : column.width});
    layout.slots += slots;
  }
  return layout;
}

std::string CanonicalText(const std::vector<ColumnSpec>& columns) {
  std::string text;
  const auto add_text = [&text](const std::string& value) {
    absl::StrAppend(&text, value.size(), ":", value, ";");
  };
  const auto add_number = [&text](double value) { absl::StrAppend(&text, absl::StrFormat("%a;", value)); };
  for (const ColumnSpec& column : columns) {
    add_text(column.name);
    add_text(column.feature);
    absl::StrAppend(&text, static_cast<int>(column.kind), ";", column.length, ";", column.log, ";",
                    column.rows, ";", column.unknown_buckets, ";", static_cast<int>(column.use), ";",
                    column.width, ";", static_cast<int>(column.combiner), ";", column.missing.has_value(),
                    ";");
    add_number(column.missing.value_or(0));
    for (const double value : column.mean) add_number(value);
    for (const double value : column.std) add_number(value);
    for (const double value : column.boundaries) add_number(value);
    for (const std::string& value : column.vocabulary) add_text(value);
    for (const std::string& value : column.keys) add_text(value);
    text += "\n";
  }
  return text;
}

}  // namespace lockstep::data
