#include "runtime/data/remote/remote_file_system.h"

#include <utility>

namespace lockstep::data {
namespace {

// Writing goes to `local`, unless the path is an address.
absl::Status CheckLocal(const std::string& path) {
  if (!IsRemote(path)) return absl::OkStatus();
  return ConfigError(absl::StrCat(ShowUrl(path), " cannot be written: what lies on servers is only read"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReadableFile>> RemoteFileSystem::Open(const std::string& path) {
  return IsRemote(path) ? store_->Open(path) : local_->Open(path);
}
absl::StatusOr<std::vector<FileInfo>> RemoteFileSystem::List(const std::string& folder) {
  return IsRemote(folder) ? store_->List(folder) : local_->List(folder);
}
bool RemoteFileSystem::Exists(const std::string& path) {
  return IsRemote(path) ? store_->Open(path).ok() : local_->Exists(path);
}

absl::StatusOr<std::unique_ptr<WritableFile>> RemoteFileSystem::Create(const std::string& path) {
  RETURN_IF_ERROR(CheckLocal(path));
  return local_->Create(path);
}
absl::StatusOr<std::unique_ptr<WritableFile>> RemoteFileSystem::OpenForAppend(const std::string& path) {
  RETURN_IF_ERROR(CheckLocal(path));
  return local_->OpenForAppend(path);
}
absl::Status RemoteFileSystem::CreateExclusive(const std::string& path, absl::string_view contents) {
  RETURN_IF_ERROR(CheckLocal(path));
  return local_->CreateExclusive(path, contents);
}
absl::Status RemoteFileSystem::CreateFolders(const std::string& folder) {
  RETURN_IF_ERROR(CheckLocal(folder));
  return local_->CreateFolders(folder);
}
absl::Status RemoteFileSystem::Rename(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(CheckLocal(from));
  RETURN_IF_ERROR(CheckLocal(to));
  return local_->Rename(from, to);
}
absl::Status RemoteFileSystem::Truncate(const std::string& path, uint64_t size_bytes) {
  RETURN_IF_ERROR(CheckLocal(path));
  return local_->Truncate(path, size_bytes);
}
absl::Status RemoteFileSystem::Delete(const std::string& path) {
  RETURN_IF_ERROR(CheckLocal(path));
  return local_->Delete(path);
}
absl::Status RemoteFileSystem::SyncFolder(const std::string& folder) {
  RETURN_IF_ERROR(CheckLocal(folder));
  return local_->SyncFolder(folder);
}
absl::StatusOr<std::unique_ptr<FileLock>> RemoteFileSystem::Lock(const std::string& path) {
  RETURN_IF_ERROR(CheckLocal(path));
  return local_->Lock(path);
}

}  // namespace lockstep::data
