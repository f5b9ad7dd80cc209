// A file system that writes down what is done to it, so that a test can replay the beginning of it, as far as
// any operation, on another disk.
#ifndef LOCKSTEP_TESTS_TESTING_RECORDING_FILE_SYSTEM_H_
#define LOCKSTEP_TESTS_TESTING_RECORDING_FILE_SYSTEM_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/core/file_system.h"

namespace lockstep::testing {

// One change of the disk. Calls that failed and calls that change nothing (reading) are left out.
struct DiskOperation {
  enum class Kind {
    kCreate,
    kOpenForAppend,
    kCreateExclusive,
    kAppend,
    kSync,
    kRename,
    kTruncate,
    kDelete,
    kCreateFolders,
    kSyncFolder
  };
  Kind kind = Kind::kCreate;
  std::string path = {};
  std::string text = {};  // what was appended; of a rename, the new path
  size_t size_bytes = 0;  // of a truncation
  int handle = -1;        // of kCreate, kOpenForAppend and what is done with the file

  std::string Describe() const;  // "rename a/b -> a/c"
};

// Over another file system, which does the work. Thread-safe; operations have one order.
class RecordingFileSystem final : public FileSystem {
 public:
  explicit RecordingFileSystem(FileSystem* under) : under_(under) {}

  std::vector<DiskOperation> operations() const;

  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForAppend(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<ReadableFile>> Open(const std::string& path) override;
  absl::Status CreateExclusive(const std::string& path, absl::string_view contents) override;
  absl::StatusOr<std::vector<FileInfo>> List(const std::string& folder) override;
  bool Exists(const std::string& path) override;
  absl::Status CreateFolders(const std::string& folder) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Truncate(const std::string& path, uint64_t size_bytes) override;
  absl::Status Delete(const std::string& path) override;
  absl::Status SyncFolder(const std::string& folder) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

 private:
  class File;
  FileSystem* const under_;
  mutable std::mutex mutex_;  // held over the call below, so that the record has its order
  std::vector<DiskOperation> operations_;
  int handles_ = 0;
};

// Does the first `count` operations to `disk`, which must be as the recorded one was at its beginning.
absl::Status Replay(const std::vector<DiskOperation>& operations, size_t count, FileSystem* disk);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_RECORDING_FILE_SYSTEM_H_
