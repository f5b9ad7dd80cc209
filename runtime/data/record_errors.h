// What is wrong with a record, in words. Made only once something is.
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_ERRORS_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_ERRORS_H_

#include <cstdint>
#include <optional>
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

// What a checksum says of a record that has changed since it was written.
struct RecordDamage {
  std::string path;
  uint64_t offset = 0;                // of its header
  int64_t record = 0;                 // within the file
  bool in_length = false;             // else in the payload
  uint32_t stored = 0, computed = 0;  // checksums, masked as the file has them
};

// `error` about the record at `offset` of `bytes`, a whole file; it then also says that the record is
// damaged, for DamageOf, where a checksum proves just that.
absl::Status WithDamage(absl::Status error, const std::string& path, absl::string_view bytes, uint64_t offset,
                        int64_t record);

// The same, given the record's own bytes.
absl::Status WithDamageAt(absl::Status error, const std::string& path, absl::string_view record_bytes,
                          uint64_t offset, int64_t record);

// Nothing for every other kind of error: a missing or shorter file, trouble of the disk, a record that does
// not parse.
std::optional<RecordDamage> DamageOf(const absl::Status& status);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_ERRORS_H_
