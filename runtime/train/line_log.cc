#include "runtime/train/line_log.h"

#include <utility>

namespace lockstep::train {
namespace {

constexpr size_t kMaxPendingBytes = size_t{64} << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<LineLog>> LineLog::Open(FileSystem* fs, const std::string& path) {
  std::unique_ptr<LineLog> log(new LineLog(fs, path));
  std::lock_guard lock(log->mutex_);
  ASSIGN_OR_RETURN(log->file_, fs->OpenForAppend(path));
  // A new file's name must be as durable as its lines will be.
  RETURN_IF_ERROR(fs->SyncFolder(ParentFolder(path)));
  ASSIGN_OR_RETURN(const auto file, fs->Open(path));
  log->good_bytes_ = file->size_bytes();
  return log;
}

absl::Status LineLog::Append(absl::string_view line) {
  std::lock_guard lock(mutex_);
  if (pending_.size() + line.size() > kMaxPendingBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path_, ": a line is lost, for 64 MiB of lines wait already for the disk to take them"));
  }
  absl::StrAppend(&pending_, line, "\n");
  return Flush();
}

absl::Status LineLog::Flush() {
  if (pending_.empty()) return absl::OkStatus();
  if (torn_) {
    RETURN_IF_ERROR(fs_->Truncate(path_, good_bytes_));
    torn_ = false;
  }
  const absl::Status status = file_->Append(pending_);
  torn_ = !status.ok();
  if (!torn_) {
    good_bytes_ += pending_.size();
    pending_.clear();
  }
  return status;
}

absl::Status LineLog::Sync() {
  {
    std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(Flush());
  }
  // Through a handle of its own, so that steps are not held up by the disk: fsync covers the whole file.
  ASSIGN_OR_RETURN(auto file, fs_->OpenForAppend(path_));
  RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

}  // namespace lockstep::train
