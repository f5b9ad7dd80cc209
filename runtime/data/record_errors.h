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

// The payload of the whole record at `offset` does not have the checksum that is stored behind it.
absl::Status PayloadError(const std::string& path, absl::string_view bytes, uint64_t offset, int64_t record);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_ERRORS_H_
