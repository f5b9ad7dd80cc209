// A disk in memory whose power can be cut.
//
// It remembers, as POSIX allows a disk to, what is durable and what is not: a file's bytes become durable by
// Sync on the file, names in a folder by SyncFolder on that folder; everything since may survive a power cut
// in part.
#ifndef LOCKSTEP_TESTS_TESTING_MEMORY_FILE_SYSTEM_H_
#define LOCKSTEP_TESTS_TESTING_MEMORY_FILE_SYSTEM_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "runtime/core/file_system.h"

namespace lockstep::testing {

// Thread-safe. Paths are taken as written ("a/b"; no "." or ".."); "" and "." and "/" are the root.
class MemoryFileSystem final : public FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;

  // The disk as it is found after a power cut now, with everything on it durable. `seed` chooses among what
  // is legal: 0 loses everything that was not synced; 1 keeps everything; others keep, for each folder,
  // either the first few of its unsynced changes or any subset of them (a rename is one change), and for each
  // file the synced bytes and any part of what was written since, whose blocks may be zero where the file
  // grew.
  std::unique_ptr<MemoryFileSystem> CutPower(uint64_t seed) const;

  // Calls `visit` with every disk that a power cut now may leave behind, each once, everything on it durable:
  // any subset of the unsynced changes of each folder's names, and of each file with unsynced bytes any length
  // it passed through with any subset of its blocks (of `block_bytes`, or an eighth of the file) surviving. Where
  // those are more than `limit`, as many are drawn, beside the extremes; returns whether it was all.
  bool ForEachCrashState(size_t block_bytes, size_t limit,
                         const std::function<void(MemoryFileSystem&)>& visit) const;
  // The same for two disks that hold the same, apart from what is durable.
  std::string Fingerprint() const;

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

 public:
  struct Node;  // memory_node.h
  struct Change;
  using NodePtr = std::shared_ptr<Node>;

 private:
  class File;
  class Contents;
  class Held;
  NodePtr Find(const std::string& path) const;
  absl::StatusOr<NodePtr> FindFolder(const std::string& path) const;
  absl::StatusOr<NodePtr> OpenForWriting(const std::string& path, bool exclusive);

  mutable std::mutex mutex_;
  NodePtr root_;
  std::set<std::string> locks_;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_MEMORY_FILE_SYSTEM_H_
