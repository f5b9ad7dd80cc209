// What `lockstep records make` does with tables whose columns have names and types.
#ifndef LOCKSTEP_RUNTIME_DATA_MAKE_TYPED_H_
#define LOCKSTEP_RUNTIME_DATA_MAKE_TYPED_H_

#include <ostream>
#include <string>
#include <vector>

#include "runtime/data/make_records.h"

namespace lockstep::data {

// A feature NAME from the column or key of that name, or of another: "mass:float", "label:category=species".
struct TypedColumn {
  enum class Type {
    kInt,
    kFloat,
    kString,
    kCategory,  // strings as their place in the sorted list of the different ones: an int64
  };
  std::string feature, source;
  Type type = Type::kString;
};
// Error: ConfigError.
absl::StatusOr<TypedColumn> ParseTypedColumn(const std::string& text);

struct TypedOptions {
  std::string input = {};  // plain or gzip
  // false: CSV (RFC 4180: quotes, and in them commas, line ends and doubled quotes) whose first line names
  // the columns. true: a JSON object a line; an array gives several values, null or a key that is not there
  // none.
  bool json = false;
  std::vector<TypedColumn> columns = {};
  std::string missing = "";  // CSV: cells of this text, and empty ones, give no value
  int64_t test_every = 0;    // k > 0: rows whose index is a multiple of k are the test part
};
// A row whose value is missing has no such feature; one whose category is missing is left out and counted,
// since categories are labels. OUT-NAME.txt lists the categories of feature NAME, a line each. Errors:
// DataError naming line and column.
absl::Status MakeFromTyped(FileSystem* fs, const TypedOptions& options, const MakeTarget& target,
                           std::ostream& out);

// The cells of the CSV record at the beginning of `text`, which loses it; *lines counts its line ends. Error:
// DataError for a quote that is never closed, or has something behind it.
absl::StatusOr<std::vector<std::string>> TakeCsvRecord(absl::string_view* text, int64_t* lines);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_MAKE_TYPED_H_
