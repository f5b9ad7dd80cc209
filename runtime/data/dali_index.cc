#include "runtime/data/dali_index.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "runtime/data/record_errors.h"

namespace lockstep::data {

std::string DaliIndexPathOf(absl::string_view record_path) { return absl::StrCat(record_path, ".idx"); }

std::string EncodeDaliIndex(const RecordIndex& index) {
  std::string text;
  for (int64_t i = 0; i < index.records(); ++i) {
    absl::StrAppend(&text, index.OffsetOf(i), " ", index.OffsetOf(i + 1) - index.OffsetOf(i), "\n");
  }
  return text;
}

absl::StatusOr<RecordIndex> DecodeDaliIndex(const std::string& path, absl::string_view contents,
                                            const std::string& record_path, absl::string_view bytes) {
  RecordIndexBuilder builder;
  int64_t line_number = 0;
  for (const absl::string_view line : absl::StrSplit(contents, '\n')) {
    ++line_number;
    const std::string place = absl::StrCat(path, ", line ", line_number);
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty()) continue;
    uint64_t offset = 0, size = 0, length = 0;
    if (words.size() != 2 || !absl::SimpleAtoi(words[0], &offset) || !absl::SimpleAtoi(words[1], &size))
      return DataError(absl::StrCat(place, ": '", line.substr(0, 40), "' is not \"offset size\""));
    if (offset != builder.size_bytes()) {
      return DataError(absl::StrCat(place, " says byte ", offset, ", and the record before it ends at byte ",
                                    builder.size_bytes()));
    }
    if (offset >= bytes.size() || !WholeRecordAt(bytes, offset, &length) ||
        size != length + kRecordFramingBytes) {
      return DataError(absl::StrCat(place, " is not of ", record_path, ": no whole record of ", size,
                                    " bytes begins at byte ", offset));
    }
    builder.Add(length, LoadU32(bytes.data() + offset + kRecordHeaderBytes + length));
  }
  if (builder.size_bytes() != bytes.size()) {
    return DataError(absl::StrCat(path, " ends at byte ", builder.size_bytes(), " of ", record_path,
                                  ", which has ", bytes.size()));
  }
  return builder.Finish();
}

}  // namespace lockstep::data
