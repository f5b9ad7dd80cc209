#include "runtime/core/fault_file_system.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"

namespace lockstep {
namespace {

class FaultFile final : public WritableFile {
 public:
  FaultFile(std::unique_ptr<WritableFile> file, FaultPoints* faults)
      : file_(std::move(file)), faults_(faults) {}
  absl::Status Append(absl::string_view bytes) override {
    const absl::Status fault = faults_->Reach("save.append");
    if (fault.ok()) return file_->Append(bytes);
    // A disk that fails has written some of it, as a rule.
    (void)file_->Append(bytes.substr(0, bytes.size() / 2));
    return fault;
  }
  absl::Status Sync() override {
    RETURN_IF_ERROR(faults_->Reach("save.sync"));
    return file_->Sync();
  }
  absl::Status Close() override {
    const absl::Status fault = faults_->Reach("save.close");
    const absl::Status closed = file_->Close();
    return fault.ok() ? closed : fault;
  }

 private:
  const std::unique_ptr<WritableFile> file_;
  FaultPoints* const faults_;
};

class FaultFileSystem final : public FileSystem {
 public:
  FaultFileSystem(FileSystem* under, std::string folder, FaultPoints* faults)
      : under_(under), folder_(std::move(folder)), faults_(faults) {}

  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    RETURN_IF_ERROR(Reach("save.create", path));
    return Wrapped(under_->Create(path), path);
  }
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForAppend(const std::string& path) override {
    RETURN_IF_ERROR(Reach("save.create", path));
    return Wrapped(under_->OpenForAppend(path), path);
  }
  absl::StatusOr<std::unique_ptr<ReadableFile>> Open(const std::string& path) override {
    RETURN_IF_ERROR(Reach("save.read", path));
    return under_->Open(path);
  }
  absl::Status CreateExclusive(const std::string& path, absl::string_view contents) override {
    RETURN_IF_ERROR(Reach("save.create", path));
    return under_->CreateExclusive(path, contents);
  }
  absl::StatusOr<std::vector<FileInfo>> List(const std::string& folder) override {
    RETURN_IF_ERROR(Reach("save.list", folder));
    return under_->List(folder);
  }
  bool Exists(const std::string& path) override { return under_->Exists(path); }
  absl::Status CreateFolders(const std::string& folder) override {
    RETURN_IF_ERROR(Reach("save.folders", folder));
    return under_->CreateFolders(folder);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    RETURN_IF_ERROR(Reach("save.rename", to));
    return under_->Rename(from, to);
  }
  absl::Status Truncate(const std::string& path, uint64_t size_bytes) override {
    RETURN_IF_ERROR(Reach("save.truncate", path));
    return under_->Truncate(path, size_bytes);
  }
  absl::Status Delete(const std::string& path) override {
    RETURN_IF_ERROR(Reach("save.delete", path));
    return under_->Delete(path);
  }
  absl::Status SyncFolder(const std::string& folder) override {
    RETURN_IF_ERROR(Reach("save.sync_folder", folder));
    return under_->SyncFolder(folder);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    return under_->Lock(path);
  }

 private:
  bool IsInside(const std::string& path) const { return absl::StartsWith(path, folder_); }
  absl::Status Reach(absl::string_view point, const std::string& path) {
    return IsInside(path) ? faults_->Reach(point) : absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<WritableFile>> Wrapped(absl::StatusOr<std::unique_ptr<WritableFile>> file,
                                                        const std::string& path) {
    if (!file.ok() || !IsInside(path)) return file;
    return std::unique_ptr<WritableFile>(std::make_unique<FaultFile>(*std::move(file), faults_));
  }

  FileSystem* const under_;
  const std::string folder_;
  FaultPoints* const faults_;
};

}  // namespace

std::unique_ptr<FileSystem> MakeFaultFileSystem(FileSystem* under, std::string folder, FaultPoints* faults) {
  return std::make_unique<FaultFileSystem>(under, std::move(folder), faults);
}

}  // namespace lockstep
