// Where each record of a file begins. Built by hopping from header to header, or read from a sidecar file.
//
// A sidecar `X.lsidx` stands beside a record file X; a footer inside it would be a bogus record to other
// readers.
//
//   offset     bytes    content (little-endian)
//   0          8        "LSIDX\0\0\1": magic and format version
//   8          8        size of the record file
//   16         8        number of records n
//   24         8        content hash
//   32         8(n+1)   offset of each record, and of the end
//   40 + 8n    4        masked CRC-32C of everything before
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_INDEX_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_INDEX_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/record_format.h"

namespace lockstep::data {

// A value type; const members are thread-safe.
class RecordIndex {
 public:
  RecordIndex() = default;

  // Hops through `bytes`, a whole record file, checking the CRC of each length but no payload. `path` is for
  // errors: DataError naming the byte and record where the file is cut or a length is damaged.
  static absl::StatusOr<RecordIndex> Build(const std::string& path, absl::string_view bytes);
  // Error: DataError for contents that are no index or are damaged.
  static absl::StatusOr<RecordIndex> Decode(const std::string& path, absl::string_view contents);
  std::string Encode() const;

  // Appends a record, as a writer does that writes it. `masked_crc` as stored.
  void Add(uint64_t length, uint32_t masked_crc);

  int64_t records() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  uint64_t file_size_bytes() const { return offsets_.back(); }
  uint64_t OffsetOf(int64_t record) const { return offsets_[record]; }
  uint64_t LengthOf(int64_t record) const {
    return offsets_[record + 1] - offsets_[record] - kRecordFramingBytes;
  }

  // A 64-bit hash over the length and the stored payload CRC of every record in order: it tells contents
  // apart at the cost of a hop.
  uint64_t content_hash() const { return content_hash_; }

  // Whether some of the records (first, last, and others spread out) lie in `bytes` where this index says.
  bool Fits(absl::string_view bytes) const;

  friend bool operator==(const RecordIndex& a, const RecordIndex& b) {
    return a.offsets_ == b.offsets_ && a.content_hash_ == b.content_hash_;
  }

 private:
  std::vector<uint64_t> offsets_ = {0};
  uint64_t content_hash_ = 0;
};

std::string IndexPathOf(absl::string_view record_path);  // "X" -> "X.lsidx"

// Writes the sidecar of `record_path`, atomically.
absl::Status WriteIndex(FileSystem* fs, const std::string& record_path, const RecordIndex& index);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_INDEX_H_
