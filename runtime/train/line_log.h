// A file of JSON lines that grows by one write(2) a line and survives a full disk.
#ifndef LOCKSTEP_RUNTIME_TRAIN_LINE_LOG_H_
#define LOCKSTEP_RUNTIME_TRAIN_LINE_LOG_H_

#include <memory>
#include <mutex>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"

namespace lockstep::train {

// Thread-safe. Lines that cannot be written now (a full disk) are kept in memory, up to 64 MiB, and written
// with the next one, after the torn end of the failed write has been cut off; so the file never holds a torn
// line in its middle.
class LineLog {
 public:
  static absl::StatusOr<std::unique_ptr<LineLog>> Open(FileSystem* fs, const std::string& path);

  // `line` without its newline. Error: the file's; the line is kept for the next try.
  absl::Status Append(absl::string_view line);

  // Everything appended so far is durable on return.
  absl::Status Sync();

 private:
  LineLog(FileSystem* fs, std::string path) : fs_(fs), path_(std::move(path)) {}
  absl::Status Flush();  // with mutex_ held

  FileSystem* const fs_;
  const std::string path_;
  std::mutex mutex_;  // of all below
  std::unique_ptr<WritableFile> file_;
  uint64_t good_bytes_ = 0;  // whole lines in the file
  bool torn_ = false;        // there may be more than good_bytes_ in it
  std::string pending_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_LINE_LOG_H_
