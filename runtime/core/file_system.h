// The disk behind an interface, so that tests can fill it, break it and cut the power. Everything that must
// survive (checkpoints, metrics, ledger) is written through it; records are read through it too.
#ifndef LOCKSTEP_RUNTIME_CORE_FILE_SYSTEM_H_
#define LOCKSTEP_RUNTIME_CORE_FILE_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep {

// A file being written, from one thread. Errors name the path. Destruction closes without syncing.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  // Appends all of it or fails; after a failure the file's contents past the last success are unknown.
  virtual absl::Status Append(absl::string_view bytes) = 0;
  // Durable on return. After a failed Sync the file must be given up: the kernel may have dropped the pages.
  virtual absl::Status Sync() = 0;
  virtual absl::Status Close() = 0;
};

// A file being read at any offset, from any number of threads.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual uint64_t size_bytes() const = 0;  // when it was opened
  // Exactly `size_bytes` bytes at `offset` into `out`. Error: DataError naming path and offset when the file
  // is shorter.
  virtual absl::Status ReadAt(uint64_t offset, void* out, size_t size_bytes) const = 0;
  // The whole file in memory where the system can map it, else empty. Valid while this object lives.
  virtual absl::string_view Mapped() const = 0;
  // When the file was last changed, as of its opening: nanoseconds since 1970; 0 where that is not known.
  virtual int64_t modified_ns() const { return 0; }
  // Its size now.
  virtual uint64_t CurrentSizeBytes() const { return size_bytes(); }
  // Whether bytes of the mapping were found gone because the file has become shorter; they read as zeros
  // (runtime/core/mapping_guard.h). No system call.
  virtual bool LostBytes() const { return false; }
  // Of an open file of the system, for those who read it by other means; -1: there is none.
  virtual int descriptor() const { return -1; }
};

// Held until destroyed.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

struct FileInfo {
  std::string name;  // without the folder
  bool is_folder = false;
  uint64_t size_bytes = 0;
};

// Thread-safe. Codes: NotFound, AlreadyExists, PermissionDenied, ResourceExhausted (disk full), else
// Unavailable.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) = 0;  // truncates
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> OpenForAppend(const std::string& path) = 0;
  virtual absl::StatusOr<std::unique_ptr<ReadableFile>> Open(const std::string& path) = 0;
  virtual absl::Status CreateExclusive(const std::string& path, absl::string_view contents) = 0;  // O_EXCL
  virtual absl::StatusOr<std::vector<FileInfo>> List(const std::string& folder) = 0;              // by name
  virtual bool Exists(const std::string& path) = 0;
  virtual absl::Status CreateFolders(const std::string& folder) = 0;
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Truncate(const std::string& path, uint64_t size_bytes) = 0;
  virtual absl::Status Delete(const std::string& path) = 0;  // a file or an empty folder
  virtual absl::Status SyncFolder(const std::string& folder) = 0;
  // Error: AlreadyExists while another process (or another lock of this one) holds it.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
};

// The real one; a stateless object that lives as long as the process.
FileSystem* RealFileSystem();

// Conveniences over the interface.
absl::StatusOr<std::string> ReadWholeFile(FileSystem* fs, const std::string& path);
// Writes path.tmp, syncs it, renames it over `path` and syncs the folder.
absl::Status WriteFileAtomically(FileSystem* fs, const std::string& path, absl::string_view contents);
absl::Status DeleteTree(FileSystem* fs, const std::string& path);  // never follows symbolic links
std::string JoinPath(absl::string_view folder, absl::string_view name);
std::string ParentFolder(absl::string_view path);  // "." where there is none
// Paths that match `pattern` ('*' and '?' in the last component only), sorted; a plain path that exists is
// itself.
absl::StatusOr<std::vector<std::string>> Glob(FileSystem* fs, const std::string& pattern);

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_FILE_SYSTEM_H_
