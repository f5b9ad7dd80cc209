// Writes a record file (record_format.h).
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_WRITER_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/record_index.h"

namespace lockstep::data {

// Not thread-safe. The file appears under its name only when Close has succeeded, whole and durable; until
// then it is `path`.tmp, which destruction without Close deletes.
class RecordWriter {
 public:
  static absl::StatusOr<std::unique_ptr<RecordWriter>> Create(FileSystem* fs, const std::string& path);
  ~RecordWriter();
  RecordWriter(const RecordWriter&) = delete;
  RecordWriter& operator=(const RecordWriter&) = delete;

  // Errors: the file system's, naming the path.
  absl::Status Write(absl::string_view payload);
  absl::Status Close();

  // Of what was written so far; WriteIndex stores it beside the file.
  const RecordIndex& index() const { return index_; }

 private:
  RecordWriter(FileSystem* fs, std::string path, std::unique_ptr<WritableFile> file);
  absl::Status Flush();

  FileSystem* const fs_;
  const std::string path_;
  std::unique_ptr<WritableFile> file_;  // null once closed
  std::string buffer_;
  RecordIndex index_;
};

// `payload` with its framing: what Write adds to the file.
std::string FrameRecord(absl::string_view payload);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_WRITER_H_
