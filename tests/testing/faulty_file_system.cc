#include "tests/testing/faulty_file_system.h"

#include <utility>

namespace lockstep::testing {

class FaultyFileSystem::Written final : public WritableFile {
 public:
  Written(FaultyFileSystem* fs, std::string path, std::unique_ptr<WritableFile> under)
      : fs_(fs), path_(std::move(path)), under_(std::move(under)) {}
  absl::Status Append(absl::string_view bytes) override {
    const absl::Status fault = fs_->Next("append " + path_);
    if (fault.ok()) return under_->Append(bytes);
    (void)under_->Append(bytes.substr(0, bytes.size() / 2));
    return fault;
  }
  absl::Status Sync() override {
    RETURN_IF_ERROR(fs_->Next("sync " + path_));
    return under_->Sync();
  }
  absl::Status Close() override {
    RETURN_IF_ERROR(fs_->Next("close " + path_));
    return under_->Close();
  }

 private:
  FaultyFileSystem* const fs_;
  const std::string path_;
  const std::unique_ptr<WritableFile> under_;
};

class FaultyFileSystem::Read final : public ReadableFile {
 public:
  Read(FaultyFileSystem* fs, std::string path, std::unique_ptr<ReadableFile> under)
      : fs_(fs), path_(std::move(path)), under_(std::move(under)) {}
  uint64_t size_bytes() const override { return under_->size_bytes(); }
  absl::string_view Mapped() const override { return under_->Mapped(); }
  absl::Status ReadAt(uint64_t offset, void* out, size_t size_bytes) const override {
    RETURN_IF_ERROR(fs_->Next("read " + path_));
    return under_->ReadAt(offset, out, size_bytes);
  }

 private:
  FaultyFileSystem* const fs_;
  const std::string path_;
  const std::unique_ptr<ReadableFile> under_;
};

absl::Status FaultyFileSystem::Next(std::string operation) {
  std::lock_guard lock(mutex_);
  operations_.push_back(std::move(operation));
  const int64_t number = static_cast<int64_t>(operations_.size());
  const bool due = fail_at_ > 0 && (kind_ == Kind::kOnce ? number == fail_at_ : number >= fail_at_);
  return due ? fault_ : absl::OkStatus();
}

void FaultyFileSystem::FailAt(int64_t n, absl::Status status, Kind kind) {
  std::lock_guard lock(mutex_);
  fail_at_ = n;
  fault_ = std::move(status);
  kind_ = kind;
}

void FaultyFileSystem::Heal() {
  std::lock_guard lock(mutex_);
  fail_at_ = -1;
  operations_.clear();
}

int64_t FaultyFileSystem::calls() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(operations_.size());
}

std::vector<std::string> FaultyFileSystem::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

absl::StatusOr<std::unique_ptr<WritableFile>> FaultyFileSystem::Create(const std::string& path) {
  RETURN_IF_ERROR(Next("create " + path));
  ASSIGN_OR_RETURN(auto file, under_->Create(path));
  return std::make_unique<Written>(this, path, std::move(file));
}

absl::StatusOr<std::unique_ptr<WritableFile>> FaultyFileSystem::OpenForAppend(const std::string& path) {
  RETURN_IF_ERROR(Next("open for append " + path));
  ASSIGN_OR_RETURN(auto file, under_->OpenForAppend(path));
  return std::make_unique<Written>(this, path, std::move(file));
}

absl::StatusOr<std::unique_ptr<ReadableFile>> FaultyFileSystem::Open(const std::string& path) {
  RETURN_IF_ERROR(Next("open " + path));
  ASSIGN_OR_RETURN(auto file, under_->Open(path));
  return std::make_unique<Read>(this, path, std::move(file));
}

absl::Status FaultyFileSystem::CreateExclusive(const std::string& path, absl::string_view contents) {
  RETURN_IF_ERROR(Next("create exclusive " + path));
  return under_->CreateExclusive(path, contents);
}

absl::StatusOr<std::vector<FileInfo>> FaultyFileSystem::List(const std::string& folder) {
  RETURN_IF_ERROR(Next("list " + folder));
  return under_->List(folder);
}

absl::Status FaultyFileSystem::CreateFolders(const std::string& folder) {
  RETURN_IF_ERROR(Next("create folders " + folder));
  return under_->CreateFolders(folder);
}

absl::Status FaultyFileSystem::Rename(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(Next(absl::StrCat("rename ", from, " -> ", to)));
  return under_->Rename(from, to);
}

absl::Status FaultyFileSystem::Truncate(const std::string& path, uint64_t size_bytes) {
  RETURN_IF_ERROR(Next(absl::StrCat("truncate ", path, " to ", size_bytes)));
  return under_->Truncate(path, size_bytes);
}

absl::Status FaultyFileSystem::Delete(const std::string& path) {
  RETURN_IF_ERROR(Next("delete " + path));
  return under_->Delete(path);
}

absl::Status FaultyFileSystem::SyncFolder(const std::string& folder) {
  RETURN_IF_ERROR(Next("sync folder " + folder));
  return under_->SyncFolder(folder);
}

absl::StatusOr<std::unique_ptr<FileLock>> FaultyFileSystem::Lock(const std::string& path) {
  RETURN_IF_ERROR(Next("lock " + path));
  return under_->Lock(path);
}

}  // namespace lockstep::testing
