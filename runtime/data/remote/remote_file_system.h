// A file system in which addresses of servers are paths too, for reading.
#ifndef LOCKSTEP_RUNTIME_DATA_REMOTE_REMOTE_FILE_SYSTEM_H_
#define LOCKSTEP_RUNTIME_DATA_REMOTE_REMOTE_FILE_SYSTEM_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/core/file_system.h"
#include "runtime/data/remote/remote_store.h"

namespace lockstep::data {

// Paths that begin with http://, https:// or s3:// are read from there (remote_store.h); all others are `local`'s. Files that were
// opened may outlive this object, but not `local`. Thread-safe.
class RemoteFileSystem final : public FileSystem {
 public:
  explicit RemoteFileSystem(FileSystem* local, RemoteOptions options = {})
      : local_(local), store_(std::make_shared<RemoteStore>(local, std::move(options))) {}
  RemoteFileSystem(FileSystem* local, std::shared_ptr<RemoteStore> store)
      : local_(local), store_(std::move(store)) {}

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
  FileSystem* const local_;
  const std::shared_ptr<RemoteStore> store_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_REMOTE_REMOTE_FILE_SYSTEM_H_
