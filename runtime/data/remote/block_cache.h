// Blocks of remote files on a local disk, so that each is fetched once a machine and not once an epoch.
#ifndef LOCKSTEP_RUNTIME_DATA_REMOTE_BLOCK_CACHE_H_
#define LOCKSTEP_RUNTIME_DATA_REMOTE_BLOCK_CACHE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"

namespace lockstep::data {

// A block is a file FOLDER/kk/KEY-N.block:
//
//   offset  bytes  content (little-endian)
//   0       8      "LSBLK\0\0\1": magic and format version
//   8       8      size of the contents
//   16      4      masked CRC-32C of "KEY-N", then the contents
//   20      n      contents
//
// Written under another name and renamed, so any number of processes may share a folder: each sees whole blocks or none. What is
// damaged is deleted, and fetched again. Those used longest ago go first. Trouble with the cache is never an error of a read.
// Thread-safe.
class BlockCache {
 public:
  // Error: ConfigError where the folder cannot be made. `limit_bytes` bounds the folder; processes that write at the same time may pass it
  // by a sixteenth each.
  static absl::StatusOr<std::shared_ptr<BlockCache>> Open(const std::string& folder, uint64_t limit_bytes);

  // Whether it was there, with out.size() bytes, undamaged. `key` is 64 hexadecimal digits.
  bool Get(const std::string& key, uint64_t block, absl::Span<char> out);
  void Put(const std::string& key, uint64_t block, absl::string_view contents);

  struct Counts {
    int64_t hits = 0, misses = 0, damaged = 0, deleted = 0, failed_writes = 0;
  };
  Counts counts() const;

 private:
  BlockCache(std::string folder, uint64_t limit_bytes)
      : folder_(std::move(folder)), limit_bytes_(limit_bytes) {}
  std::string PathOf(const std::string& key, uint64_t block) const;
  bool Write(const std::string& path, const std::string& name, absl::string_view contents);
  void MakeRoom();

  const std::string folder_;
  const uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  Counts counts_;
  uint64_t held_bytes_ = 0, written_bytes_ = 0;  // as of the last look at the folder; since
  int64_t writes_ = 0;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_REMOTE_BLOCK_CACHE_H_
