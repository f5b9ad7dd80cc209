#include "tests/testing/recording_file_system.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lockstep::testing {

using Kind = DiskOperation::Kind;

std::string DiskOperation::Describe() const {
  switch (kind) {
    case Kind::kCreate:
      return "create " + path;
    case Kind::kOpenForAppend:
      return "open for append " + path;
    case Kind::kCreateExclusive:
      return "create exclusive " + path;
    case Kind::kAppend:
      return absl::StrCat("append ", text.size(), " bytes to ", path);
    case Kind::kSync:
      return "sync " + path;
    case Kind::kRename:
      return absl::StrCat("rename ", path, " -> ", text);
    case Kind::kTruncate:
      return absl::StrCat("truncate ", path, " to ", size_bytes);
    case Kind::kDelete:
      return "delete " + path;
    case Kind::kCreateFolders:
      return "create folders " + path;
    case Kind::kSyncFolder:
      return "sync folder " + path;
  }
  return "";
}

class RecordingFileSystem::File final : public WritableFile {
 public:
  File(RecordingFileSystem* fs, std::string path, int handle, std::unique_ptr<WritableFile> under)
      : fs_(fs), path_(std::move(path)), handle_(handle), under_(std::move(under)) {}
  absl::Status Append(absl::string_view bytes) override {
    std::lock_guard lock(fs_->mutex_);
    RETURN_IF_ERROR(under_->Append(bytes));
    fs_->operations_.push_back({Kind::kAppend, path_, std::string(bytes), 0, handle_});
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    std::lock_guard lock(fs_->mutex_);
    RETURN_IF_ERROR(under_->Sync());
    fs_->operations_.push_back({Kind::kSync, path_, "", 0, handle_});
    return absl::OkStatus();
  }
  absl::Status Close() override { return under_->Close(); }

 private:
  RecordingFileSystem* const fs_;
  const std::string path_;
  const int handle_;
  const std::unique_ptr<WritableFile> under_;
};

std::vector<DiskOperation> RecordingFileSystem::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

absl::StatusOr<std::unique_ptr<WritableFile>> RecordingFileSystem::Create(const std::string& path) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto file, under_->Create(path));
  operations_.push_back({Kind::kCreate, path, "", 0, handles_});
  return std::make_unique<File>(this, path, handles_++, std::move(file));
}

absl::StatusOr<std::unique_ptr<WritableFile>> RecordingFileSystem::OpenForAppend(const std::string& path) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto file, under_->OpenForAppend(path));
  operations_.push_back({Kind::kOpenForAppend, path, "", 0, handles_});
  return std::make_unique<File>(this, path, handles_++, std::move(file));
}

absl::StatusOr<std::unique_ptr<ReadableFile>> RecordingFileSystem::Open(const std::string& path) {
  return under_->Open(path);
}

absl::Status RecordingFileSystem::CreateExclusive(const std::string& path, absl::string_view contents) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(under_->CreateExclusive(path, contents));
  operations_.push_back({Kind::kCreateExclusive, path, std::string(contents)});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<FileInfo>> RecordingFileSystem::List(const std::string& folder) {
  return under_->List(folder);
}

bool RecordingFileSystem::Exists(const std::string& path) { return under_->Exists(path); }

absl::Status RecordingFileSystem::CreateFolders(const std::string& folder) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(under_->CreateFolders(folder));
  operations_.push_back({Kind::kCreateFolders, folder});
  return absl::OkStatus();
}

absl::Status RecordingFileSystem::Rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(under_->Rename(from, to));
  operations_.push_back({Kind::kRename, from, to});
  return absl::OkStatus();
}

absl::Status RecordingFileSystem::Truncate(const std::string& path, uint64_t size_bytes) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(under_->Truncate(path, size_bytes));
  operations_.push_back({Kind::kTruncate, path, "", static_cast<size_t>(size_bytes)});
  return absl::OkStatus();
}

absl::Status RecordingFileSystem::Delete(const std::string& path) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(under_->Delete(path));
  operations_.push_back({Kind::kDelete, path});
  return absl::OkStatus();
}

absl::Status RecordingFileSystem::SyncFolder(const std::string& folder) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(under_->SyncFolder(folder));
  operations_.push_back({Kind::kSyncFolder, folder});
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileLock>> RecordingFileSystem::Lock(const std::string& path) {
  return under_->Lock(path);
}

absl::Status Replay(const std::vector<DiskOperation>& operations, size_t count, FileSystem* disk) {
  std::map<int, std::unique_ptr<WritableFile>> files;
  for (size_t i = 0; i < count; ++i) {
    const DiskOperation& operation = operations[i];
    switch (operation.kind) {
      case Kind::kCreate: {
        ASSIGN_OR_RETURN(files[operation.handle], disk->Create(operation.path));
        break;
      }
      case Kind::kOpenForAppend: {
        ASSIGN_OR_RETURN(files[operation.handle], disk->OpenForAppend(operation.path));
        break;
      }
      case Kind::kCreateExclusive:
        RETURN_IF_ERROR(disk->CreateExclusive(operation.path, operation.text));
        break;
      case Kind::kAppend:
        RETURN_IF_ERROR(files[operation.handle]->Append(operation.text));
        break;
      case Kind::kSync:
        RETURN_IF_ERROR(files[operation.handle]->Sync());
        break;
      case Kind::kRename:
        RETURN_IF_ERROR(disk->Rename(operation.path, operation.text));
        break;
      case Kind::kTruncate:
        RETURN_IF_ERROR(disk->Truncate(operation.path, operation.size_bytes));
        break;
      case Kind::kDelete:
        RETURN_IF_ERROR(disk->Delete(operation.path));
        break;
      case Kind::kCreateFolders:
        RETURN_IF_ERROR(disk->CreateFolders(operation.path));
        break;
      case Kind::kSyncFolder:
        RETURN_IF_ERROR(disk->SyncFolder(operation.path));
        break;
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep::testing
