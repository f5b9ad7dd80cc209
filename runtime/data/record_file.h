// Reads record files (record_format.h): any record by its number, or all from first to last.
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_FILE_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/growing_memory.h"
#include "runtime/data/record_index.h"
#include "runtime/data/record_view.h"

namespace lockstep::data {

struct RecordBytesOptions {
  // What the file must be; not set: whatever its first bytes say (compression.h).
  std::optional<Compression> compression = std::nullopt;
  // Where decompressed bytes come from; null: half of the machine's memory for this file.
  std::shared_ptr<MemoryBudget> budget = nullptr;
  // true: a plain file that cannot be mapped is left where it is (view() is then empty, and file() reads it);
  // false: it is read, as a whole, within the budget.
  bool by_pieces = false;
};

// The records of a file as one stream of bytes. A plain file is mapped, or read where it cannot be mapped; a
// compressed one is decompressed once, into memory, and its mapping given up: from then on any record is as
// near as in a plain file. Thread-safe once open; movable.
class RecordBytes {
 public:
  // Errors: DataError for a file that is missing, empty, no plain file, compressed otherwise than `options`
  // say, whose compressed stream is damaged or cut short (naming the record where the damage shows, if it
  // does), or larger than the budget when decompressed.
  static absl::StatusOr<RecordBytes> Open(FileSystem* fs, const std::string& path,
                                          const RecordBytesOptions& options = {});
  absl::string_view view() const { return view_; }
  bool in_memory() const { return !view_.empty(); }
  uint64_t size_bytes() const { return in_memory() ? view_.size() : stored_.size_bytes; }  // of the stream
  // Of a plain file; null once decompressed.
  const ReadableFile* file() const { return file_.get(); }
  // The file on the disk: its size, time, compression, and checksum where it is compressed.
  const StoredFile& stored() const { return stored_; }

  // DataError when pages of a mapped file were found gone because it has become shorter, so that what was
  // read of it may be zeros. Cheap enough for every record: no system call until it happened. On the one
  // page where the file now ends there are zeros without a fault, which only a comparison of checksums
  // finds.
  absl::Status CheckWhole(const std::string& path) const;
  // `error`, a checksum that does not fit, found at [offset, offset + size) of these bytes. It is damage
  // (DamageOf, record_errors.h) only where the file, read once more, has the same bytes there; else the error
  // says what went wrong.
  absl::Status Confirm(const std::string& path, uint64_t offset, uint64_t size_bytes, int64_t record,
                       const absl::Status& error) const;
  // `error`, found in these bytes; or, when the file has become shorter, that.
  absl::Status Explain(const std::string& path, absl::Status error) const;

 private:
  RecordBytes() = default;
  absl::Status Shorter(const std::string& path) const;
  absl::Status Unpack(const std::string& path, const RecordBytesOptions& options);
  absl::Status ReadWhole(const std::string& path, const RecordBytesOptions& options);

  std::unique_ptr<ReadableFile> file_;     // null once decompressed
  std::optional<GrowingMemory> contents_;  // when not mapped
  std::optional<GrowingMemory> unpacked_;
  absl::string_view view_;
  StoredFile stored_;
};

// Goes through a record file once. Not thread-safe. A file cut short and a damaged length end it; a damaged
// payload need not: Skip goes on behind it.
//
//   RecordScanner scan(path, bytes.view());
//   while (scan.Next()) Use(scan.payload());
//   RETURN_IF_ERROR(scan.status());
class RecordScanner {
 public:
  // `bytes` is borrowed.
  RecordScanner(std::string path, absl::string_view bytes) : path_(std::move(path)), bytes_(bytes) {}

  // False at the end of the file and on an error.
  bool Next();
  absl::string_view payload() const { return payload_; }
  int64_t record() const { return record_; }   // number of the record that Next went to
  uint64_t offset() const { return offset_; }  // of its header
  const absl::Status& status() const { return status_; }

  // After an error: whether the next record can be found. If so the error is cleared and Next goes there.
  bool Skip();

 private:
  const std::string path_;
  const absl::string_view bytes_;
  absl::string_view payload_;
  int64_t record_ = -1;
  uint64_t offset_ = 0, next_ = 0;
  bool skippable_ = false;
  absl::Status status_;
};

struct RecordFileOptions {
  bool use_sidecar = true;  // an index file that fits, if there is one (record_sidecar.h)
  RecordBytesOptions bytes = {};
};

// Random access. Immutable and thread-safe.
class RecordFile {
 public:
  // Errors: those of RecordBytes, ReadSidecar and RecordIndex::Build.
  static absl::StatusOr<std::unique_ptr<RecordFile>> Open(FileSystem* fs, const std::string& path,
                                                          RecordFileOptions options = {});

  const std::string& path() const { return path_; }
  int64_t records() const { return index_.records(); }
  const RecordIndex& index() const { return index_; }
  uint64_t size_bytes() const { return bytes_.size_bytes(); }  // of the records' stream
  bool in_memory() const { return bytes_.in_memory(); }  // mapped or decompressed, not read for each record
  const ReadableFile* file() const { return bytes_.file(); }  // null where it was decompressed
  const StoredFile& stored() const { return bytes_.stored(); }

  // The payload of record `record` in [0, records()), both of its checksums compared. Where the file is in memory the view
  // lives as long as this object; else the record is read now, and the view keeps it. Errors: DataError naming path, byte, record
  // number, stored and computed checksum (DamageOf says whether the record is proven to be damaged); the file's where it cannot
  // be read.
  absl::StatusOr<RecordView> Record(int64_t record) const;
  // The same of bytes that somebody else has read, from OffsetOf(record) to OffsetOf(record + 1) of index(): a part of them.
  absl::StatusOr<absl::string_view> Check(int64_t record, absl::string_view record_bytes) const;

  // To be asked after a payload was used: RecordBytes::CheckWhole.
  absl::Status CheckWhole() const { return bytes_.CheckWhole(path_); }

  // A hint that `record` will be read soon: asks for its first cache lines.
  void Prefetch(int64_t record) const;

 private:
  RecordFile(std::string path, RecordBytes bytes, RecordIndex index)
      : path_(std::move(path)), bytes_(std::move(bytes)), index_(std::move(index)) {}
  absl::Status IndexError(int64_t record, uint64_t length) const;
  // RecordBytes::Confirm for a file that is read.
  absl::Status ConfirmRead(int64_t record, absl::string_view record_bytes, const absl::Status& error) const;

  const std::string path_;
  const RecordBytes bytes_;
  const RecordIndex index_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_FILE_H_
