// A file system that fails when told to, over another one.
#ifndef LOCKSTEP_TESTS_TESTING_FAULTY_FILE_SYSTEM_H_
#define LOCKSTEP_TESTS_TESTING_FAULTY_FILE_SYSTEM_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/core/file_system.h"

namespace lockstep::testing {

// Counts every call of FileSystem, WritableFile and ReadableFile::ReadAt, from 1, and records it as "rename
// a/b -> a/c". (Exists, Mapped and Close of a lock cannot fail and do not count.) Thread-safe.
class FaultyFileSystem final : public FileSystem {
 public:
  explicit FaultyFileSystem(FileSystem* under) : under_(under) {}

  enum class Kind {
    kOnce,
    kFromThenOn
  };  // a transient fault; a disk that is full, or a process that is dead
  // Call number `n` fails with `status`; an Append that fails writes the first half of its bytes.
  void FailAt(int64_t n, absl::Status status, Kind kind);
  // No more faults; counting starts anew.
  void Heal();

  int64_t calls() const;
  std::vector<std::string> operations() const;

  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForAppend(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<ReadableFile>> Open(const std::string& path) override;
  absl::Status CreateExclusive(const std::string& path, absl::string_view contents) override;
  absl::StatusOr<std::vector<FileInfo>> List(const std::string& folder) override;
  bool Exists(const std::string& path) override { return under_->Exists(path); }
  absl::Status CreateFolders(const std::string& folder) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Truncate(const std::string& path, uint64_t size_bytes) override;
  absl::Status Delete(const std::string& path) override;
  absl::Status SyncFolder(const std::string& folder) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

 private:
  class Written;
  class Read;
  // Counts a call; the fault that is due, or OK.
  absl::Status Next(std::string operation);

  FileSystem* const under_;
  mutable std::mutex mutex_;
  std::vector<std::string> operations_;
  int64_t fail_at_ = -1;
  absl::Status fault_;
  Kind kind_ = Kind::kOnce;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_FAULTY_FILE_SYSTEM_H_
