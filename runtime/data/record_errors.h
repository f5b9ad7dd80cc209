// What is wrong with a record, in words. Made only once something is.
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_ERRORS_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_ERRORS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/record_format.h"

namespace lockstep::data {

// Whether a whole record lies at `offset` of `bytes`, as far as its header says; then `length` is its
// payload's.
inline bool WholeRecordAt(absl::string_view bytes, uint64_t offset, uint64_t* length) {
  const uint64_t rest = bytes.size() - offset;
  if (rest < kRecordFramingBytes) return false;
  const char* header = bytes.data() + offset;
  *length = LoadU64(header);
  return MaskedCrcOf(header, 8) == LoadU32(header + 8) && *length <= rest - kRecordFramingBytes;
}

// Why WholeRecordAt said no: cut short, a damaged length, or no record file at all (compressed, text).
absl::Status HeaderError(const std::string& path, absl::string_view bytes, uint64_t offset, int64_t record);
// The same of a file that is not in memory: `begin` is what there is from the record's header on, at least the header where the
// file has as much, and `rest_bytes` how much of the file lies from there to its end.
absl::Status HeaderErrorAt(const std::string& path, absl::string_view begin, uint64_t rest_bytes,
                           uint64_t offset, int64_t record);

// The payload of the whole record at `offset` does not have the checksum that is stored behind it.
absl::Status PayloadError(const std::string& path, absl::string_view bytes, uint64_t offset, int64_t record);
// The same, given the record's own bytes, header and trailer included.
absl::Status PayloadErrorAt(const std::string& path, absl::string_view record_bytes, uint64_t offset,
                            int64_t record);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_ERRORS_H_
