// Record files as one list of records.
#ifndef LOCKSTEP_RUNTIME_DATA_DATASET_H_
#define LOCKSTEP_RUNTIME_DATA_DATASET_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/record_file.h"
#include "runtime/data/record_filter.h"

namespace lockstep::data {

// What a pattern ('*' and '?' in the last part) or a path stands for, sorted, without the index files beside
// the records ("X.lsidx", and "X.idx" of an X that also matches). Error: DataError when nothing does.
absl::StatusOr<std::vector<std::string>> GlobRecords(FileSystem* fs, const std::string& pattern);

struct DatasetOptions {
  std::optional<Compression> compression = std::nullopt;  // what every file must be; not set: what it is
  // That compressed files may take together once decompressed, 0: half of the machine's memory.
  uint64_t unpacked_limit_bytes = 0;
  int threads = 0;  // that open files, one each; 0: as many as there are cores
  // Only records for which all of these hold are part of the data set: each record is read once to find them.
  // Damaged ones stay, and are errors when they are read.
  std::vector<RecordCondition> filter = {};
};

// What a fingerprint is made of, of one file.
struct FileFacts {
  std::string name;         // without folder and without the ending of its compression
  uint64_t size_bytes = 0;  // decompressed
  int64_t records = 0;
  uint64_t content_hash = 0;  // RecordIndex::content_hash
};

// Immutable and thread-safe. Record ids 0 .. size()-1 run through the files in their order, past the records
// that a filter leaves out.
class Dataset {
 public:
  // Opens every file that a path or pattern ('*' and '?' in the last part) stands for; files of one pattern
  // are sorted by name, patterns keep their order. Errors: DataError naming what is missing, empty, without
  // records, or damaged.
  static absl::StatusOr<std::shared_ptr<const Dataset>> Open(FileSystem* fs,
                                                             absl::Span<const std::string> patterns,
                                                             DatasetOptions options = {});

  int64_t size() const { return kept_ ? kept_->size() : records(); }
  int64_t records() const { return first_ids_.back(); }  // of the files
  const std::vector<std::unique_ptr<RecordFile>>& files() const { return files_; }
  int64_t size_bytes() const;  // of all files

  // DataError when the file of record `id` became shorter, so that its payload may have turned to zeros; to
  // be asked once the payload was used.
  absl::Status CheckWhole(int64_t id) const { return files_[Locate(id).file]->CheckWhole(); }

  // The payload of record `id` in [0, size), its checksums compared. The view lives as long as this object.
  // Error: DataError naming file, byte, record number, expected and found checksum.
  absl::StatusOr<absl::string_view> Record(int64_t id) const;

  // A hint that record `id` will be read soon.
  void Prefetch(int64_t id) const;

  struct Location {
    int file = 0;
    int64_t record = 0;  // within the file
  };
  Location Locate(int64_t id) const;
  std::string Describe(int64_t id) const;  // "path, record 12"
  // "path, byte 3456, record 12": where its header begins (of a compressed file: decompressed).
  std::string Place(int64_t id) const;

  // 64 hex digits of the SHA-256 over, for each file: name without folder and without the ending of its
  // compression, size decompressed, record count and the hash of every record's length and payload checksum.
  // So it changes with any byte of any payload, and neither with the folder nor with how files are
  // compressed, nor with the filter.
  const std::string& fingerprint() const { return fingerprint_; }
  std::vector<FileFacts> Facts() const;  // of each file

 private:
  Dataset() = default;
  absl::Status Filter(const DatasetOptions& options);
  std::vector<std::unique_ptr<RecordFile>> files_;
  std::vector<int64_t> first_ids_ = {0};  // of each file, and the end
  std::optional<KeptRecords> kept_;
  std::string fingerprint_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_DATASET_H_
