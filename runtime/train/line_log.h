// A file of JSON lines that grows by one write(2) a line and survives a full disk.
#ifndef LOCKSTEP_RUNTIME_TRAIN_LINE_LOG_H_
#define LOCKSTEP_RUNTIME_TRAIN_LINE_LOG_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
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
  absl::Status Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FileSystem* const fs_;
  const std::string path_;
  absl::Mutex mutex_;
  std::unique_ptr<WritableFile> file_ ABSL_GUARDED_BY(mutex_);
  uint64_t good_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // whole lines in the file
  bool torn_ ABSL_GUARDED_BY(mutex_) = false;        // there may be more than good_bytes_ in it
  std::string pending_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_LINE_LOG_H_
