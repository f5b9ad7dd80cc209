// Record files as one list of records.
#ifndef LOCKSTEP_RUNTIME_DATA_DATASET_H_
#define LOCKSTEP_RUNTIME_DATA_DATASET_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/read/read_ahead.h"
#include "runtime/data/record_file.h"
#include "runtime/data/record_filter.h"

namespace lockstep::data {

// What a pattern ('*' and '?' in the last part; {00000..00007} anywhere, remote/url.h) or a path stands for, without the index
// files beside the records ("X.lsidx", and "X.idx" of an X that also matches); in the order of the numbers in braces,
// within that sorted. Error: DataError when nothing does.
absl::StatusOr<std::vector<std::string>> GlobRecords(FileSystem* fs, const std::string& pattern);

// How records of plain files that can be mapped come into memory.
enum class ReadMode : uint8_t {
  kAuto,    // mapped, unless the files are together larger than half of the machine's memory
  kMapped,  // through the page cache, without a copy: the fastest for what stays there
  kRead,    // by reads of their own, announced ones ahead of time: for what does not, and for what is no disk
};

struct DatasetOptions {
  std::optional<Compression> compression = std::nullopt;  // what every file must be; not set: what it is
  // That compressed files may take together once decompressed, 0: half of the machine's memory.
  uint64_t unpacked_limit_bytes = 0;
  int threads = 0;  // that open files, one each; 0: as many as there are cores
  ReadMode read = ReadMode::kAuto;
  ReadAheadOptions ahead = {};  // of files that are read
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

  // The payload of record `id` in [0, size), its checksums compared. This object must outlive the view. Error: DataError naming
  // file, byte, record number, expected and found checksum; the file's where it cannot be read.
  absl::StatusOr<RecordView> Record(int64_t id) const;

  // These records will be asked for in this order: they are read ahead, and kept until what is returned goes. Null where
  // nothing is read.
  std::shared_ptr<const void> Announce(absl::Span<const int64_t> ids) const;
  bool reads() const { return ahead_ != nullptr; }  // whether files are read, not only looked at in memory
  const ReadAhead* read_ahead() const { return ahead_.get(); }  // null where nothing is read

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
  void ReadFiles(const DatasetOptions& options);
  ReadAhead::Wanted PlaceOf(int64_t id) const;

  absl::Status Filter(const DatasetOptions& options);
  std::vector<std::unique_ptr<RecordFile>> files_;
  std::vector<int64_t> first_ids_ = {0};  // of each file, and the end
  std::optional<KeptRecords> kept_;
  std::string fingerprint_;
  std::vector<bool> is_read_;         // each file
  std::unique_ptr<ReadAhead> ahead_;  // last: it reads the files
};

// Goes through records begin .. end-1 in order, reading ahead where files are read. Not thread-safe; the data set outlives it.
class DatasetPass {
 public:
  DatasetPass(const Dataset* dataset, int64_t begin, int64_t end);
  // Dataset::Record; `id` never falls from one call to the next.
  absl::StatusOr<RecordView> Record(int64_t id);

 private:
  struct Ticket {
    int64_t end = 0;  // of the records that it stands for
    std::shared_ptr<const void> kept;
  };
  const Dataset* const dataset_;
  int64_t announced_;
  const int64_t end_;
  std::deque<Ticket> tickets_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_DATASET_H_
