// Writes a record file (record_format.h), plain or compressed as a whole (compression.h).
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_WRITER_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/compressor.h"
#include "runtime/data/record_index.h"

namespace lockstep::data {

struct RecordWriterOptions {
  Compression compression = Compression::kNone;
  bool write_index = false;  // beside the file, once that has its name
};

// Not thread-safe. The file appears under its name only when Close has succeeded, whole and durable; until
// then it is `path`.tmp, which destruction without Close deletes. An index that was there before is then
// stale, and readers notice.
class RecordWriter {
 public:
  static absl::StatusOr<std::unique_ptr<RecordWriter>> Create(FileSystem* fs, const std::string& path,
                                                              RecordWriterOptions options = {});
  ~RecordWriter();
  RecordWriter(const RecordWriter&) = delete;
  RecordWriter& operator=(const RecordWriter&) = delete;

  // Errors: the file system's, naming the path.
  absl::Status Write(absl::string_view payload);
  absl::Status Close();
  // The two halves of Close, for whoever writes several files and knows their names only when all are
  // written: Seal makes what was written durable, still under path.tmp; Publish gives it the name `path`.
  absl::Status Seal();
  absl::Status Publish(const std::string& path);

  int64_t records() const { return builder_.records(); }
  uint64_t plain_bytes() const { return builder_.size_bytes(); }  // with framing, before compression
  uint64_t stored_bytes() const { return stored_.size_bytes; }    // of the file; whole once sealed
  RecordIndex index() const { return builder_.Finish(); }         // of what was written so far

 private:
  RecordWriter(FileSystem* fs, std::string path, std::unique_ptr<WritableFile> file,
               RecordWriterOptions options);
  absl::Status Flush();

  FileSystem* const fs_;
  const std::string temporary_, path_;
  const RecordWriterOptions options_;
  std::unique_ptr<Compressor> compressor_;  // null for a plain file, and once sealed
  std::unique_ptr<WritableFile> file_;      // null once sealed
  bool published_ = false;
  std::string buffer_, compressed_;
  RecordIndexBuilder builder_;
  StoredFile stored_;
};

// `payload` with its framing: what Write adds to the file.
std::string FrameRecord(absl::string_view payload);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_WRITER_H_
