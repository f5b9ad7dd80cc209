// Where each record of a file begins. Built by hopping from header to header, or read from a sidecar file.
//
// A sidecar `X.lsidx` stands beside a record file X; a footer inside it would be a bogus record to other
// readers. Record i (and the end, i = n) begins at
//
//   base[i / 64] + (i % 64) * step + rest[i]
//
// where `step` is the smallest record with its framing: of every 64th record the offset is stored, of the
// others a rest of `width` bytes, which is none at all where all records are equally long. So finding any
// record takes no other read than the record's own.
//
//   offset     bytes    content (little-endian)
//   0          8        "LSIDX\0\0\2": magic and format version
//   8          8        size of the record file as it is stored
//   16         8        its time of change, nanoseconds since 1970; 0: not known
//   24         4        its compression (compression.h)
//   28         4        CRC-32C of the file as it is stored, where it is compressed; else 0
//   32         8        size of the records' stream: the file, decompressed
//   40         8        number of records n
//   48         8        content hash
//   56         8        step
//   64         8        width: 0, 1, 2, 4 or 8
//   72         8g       base of each group of 64; g = n / 64 + 1
//   72+8g      4g       stored payload CRC of each group's first record; 0 behind the last record
//   72+12g     w(n+1)   rests
//   ...        4        masked CRC-32C of everything before
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_INDEX_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_INDEX_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/compression.h"
#include "runtime/data/record_format.h"

namespace lockstep::data {

// A record file as it lies on the disk.
struct StoredFile {
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;  // 0: not known
  Compression compression = Compression::kNone;
  uint32_t crc = 0;  // CRC-32C of all its bytes, where it is compressed
};

// A value type; const members are thread-safe. Offsets and sizes are those of the records' stream, which is
// the file itself unless that is compressed.
class RecordIndex {
 public:
  RecordIndex();  // of no records

  // Hops through `bytes`, a whole stream of records, checking the CRC of each length but no payload. `path`
  // is for errors: DataError naming the byte and record where it is cut or a length is damaged.
  static absl::StatusOr<RecordIndex> Build(const std::string& path, absl::string_view bytes);
  // The same of a file that is read in pieces of about a megabyte.
  static absl::StatusOr<RecordIndex> Build(const std::string& path, const ReadableFile& file);
  // Error: DataError for contents that are no index, are damaged, or contradict themselves.
  static absl::StatusOr<RecordIndex> Decode(const std::string& path, absl::string_view contents);
  std::string Encode() const;

  int64_t records() const { return records_; }
  uint64_t size_bytes() const { return size_bytes_; }  // of the stream
  // `record` in [0, records()]; the last is the end.
  uint64_t OffsetOf(int64_t record) const {
    const auto i = static_cast<uint64_t>(record);
    return bases_[i / kGroup] + (i % kGroup) * step_ + (LoadU64(rests_.data() + i * width_) & mask_);
  }
  uint64_t LengthOf(int64_t record) const {  // of the payload
    return OffsetOf(record + 1) - OffsetOf(record) - kRecordFramingBytes;
  }

  // A 64-bit hash over the length and the stored payload CRC of every record in order: it tells contents
  // apart at the cost of a hop.
  uint64_t content_hash() const { return content_hash_; }

  // Whether the first `records` records lie in `bytes` where this index says, as far as 65 of them tell
  // (first, last, and others spread out), by their lengths and some also by their payload's checksum.
  bool Fits(absl::string_view bytes, int64_t records) const;
  // Likewise, but of a file that is read: its size, its first record and its last, in two short reads. Error: the file's.
  absl::StatusOr<bool> Fits(const ReadableFile& file) const;

  // What file this is the index of; for whoever reads or writes a sidecar.
  const StoredFile& stored() const { return stored_; }
  void set_stored(const StoredFile& stored) { stored_ = stored; }

  size_t memory_bytes() const { return bases_.size() * 8 + first_crcs_.size() * 4 + rests_.size(); }

  // The same records with the same contents, however the file is stored.
  friend bool operator==(const RecordIndex& a, const RecordIndex& b) {
    return a.records_ == b.records_ && a.size_bytes_ == b.size_bytes_ && a.step_ == b.step_ &&
           a.bases_ == b.bases_ && a.rests_ == b.rests_ && a.content_hash_ == b.content_hash_;
  }

 private:
  friend class RecordIndexBuilder;
  static constexpr uint64_t kGroup = 64;
  static constexpr size_t kPaddingBytes = 8;  // behind the rests, so that eight bytes can be read at any

  int64_t records_ = 0;
  uint64_t size_bytes_ = 0, content_hash_ = 0, step_ = 0, width_ = 0, mask_ = 0;
  std::vector<uint64_t> bases_;
  std::vector<uint32_t> first_crcs_;
  std::string rests_;
  StoredFile stored_;
};

// Makes an index of records one after another, as a writer writes them or a hop finds them. Holds eight bytes
// a record until it is done.
class RecordIndexBuilder {
 public:
  void Add(uint64_t length, uint32_t masked_crc);  // the payload's, as stored
  int64_t records() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  uint64_t size_bytes() const { return offsets_.back(); }
  RecordIndex Finish() const;

 private:
  std::vector<uint64_t> offsets_ = {0};
  std::vector<uint32_t> first_crcs_;
  uint64_t content_hash_ = 0, smallest_ = ~uint64_t{0};
};

std::string IndexPathOf(absl::string_view record_path);  // "X" -> "X.lsidx"

// Writes the sidecar of `record_path`, atomically.
absl::Status WriteIndex(FileSystem* fs, const std::string& record_path, const RecordIndex& index);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_INDEX_H_
