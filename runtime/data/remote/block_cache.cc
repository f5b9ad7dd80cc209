#include "runtime/data/remote/block_cache.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/data/record_format.h"

namespace lockstep::data {
namespace {

namespace files = std::filesystem;

constexpr absl::string_view kMagic("LSBLK\0\0\1", 8);
constexpr size_t kHeaderBytes = 20;
constexpr char kEnding[] = ".block";

uint32_t CrcOf(absl::string_view name, absl::string_view contents) {
  return MaskCrc(Crc32c(Crc32c(0, name.data(), name.size()), contents.data(), contents.size()));
}

std::string HeaderOf(absl::string_view name, absl::string_view contents) {
  std::string header(kHeaderBytes, '\0');
  const uint64_t size = contents.size();
  const uint32_t crc = CrcOf(name, contents);
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  std::memcpy(header.data() + 8, &size, sizeof size);
  std::memcpy(header.data() + 16, &crc, sizeof crc);
  return header;
}

struct Stored {
  files::file_time_type used;
  uint64_t size_bytes = 0;
  files::path path;
};

// Every block, and what a writer left that died; others may delete meanwhile.
std::vector<Stored> ListAll(const std::string& folder) {
  std::vector<Stored> found;
  std::error_code error;
  files::recursive_directory_iterator at(folder, files::directory_options::skip_permission_denied, error),
      end;
  for (; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!absl::EndsWith(name, kEnding) && !absl::StrContains(name, ".tmp-")) continue;
    std::error_code gone;
    Stored stored{at->last_write_time(gone), 0, at->path()};
    stored.size_bytes = at->file_size(gone);
    if (!gone) found.push_back(std::move(stored));
  }
  return found;
}

uint64_t BytesOf(const std::vector<Stored>& stored) {
  uint64_t bytes = 0;
  for (const Stored& one : stored) bytes += one.size_bytes;
  return bytes;
}

}  // namespace

absl::StatusOr<std::shared_ptr<BlockCache>> BlockCache::Open(const std::string& folder,
                                                             uint64_t limit_bytes) {
  const absl::Status made = RealFileSystem()->CreateFolders(folder);
  if (!made.ok()) return ConfigError(absl::StrCat("the cache of remote records: ", made.message()));
  std::shared_ptr<BlockCache> cache(new BlockCache(folder, limit_bytes));
  cache->held_bytes_ = BytesOf(ListAll(folder));
  return cache;
}

std::string BlockCache::PathOf(const std::string& key, uint64_t block) const {
  return absl::StrCat(folder_, "/", key.substr(0, 2), "/", key, "-", block, kEnding);
}

bool BlockCache::Get(const std::string& key, uint64_t block, absl::Span<char> out) {
  const std::string path = PathOf(key, block), name = absl::StrCat(key, "-", block);
  const auto contents = ReadWholeFile(RealFileSystem(), path);
  const bool there = contents.ok();
  const absl::string_view bytes = there ? absl::string_view(*contents) : absl::string_view();
  const bool whole = bytes.size() == kHeaderBytes + out.size() &&
                     bytes.substr(0, kHeaderBytes) == HeaderOf(name, bytes.substr(kHeaderBytes));
  std::error_code ignored;
  if (whole) {
    std::memcpy(out.data(), bytes.data() + kHeaderBytes, out.size());
    files::last_write_time(path, files::file_time_type::clock::now(), ignored);
  } else if (there) {
    files::remove(path, ignored);
  }
  std::lock_guard lock(mutex_);
  ++(whole ? counts_.hits : counts_.misses);
  counts_.damaged += there && !whole;
  return whole;
}

bool BlockCache::Write(const std::string& path, const std::string& name, absl::string_view contents) {
  FileSystem* fs = RealFileSystem();
  int64_t number = 0;
  {
    std::lock_guard lock(mutex_);
    number = writes_++;
  }
  // Several caches of a process may be over one folder.
  const auto self = reinterpret_cast<uintptr_t>(this);
  const std::string temporary = absl::StrCat(path, ".tmp-", ::getpid(), "-", absl::Hex(self), "-", number);
  // Not synced: what a power cut leaves of it, the checksum tells.
  const auto write = [&]() -> absl::Status {
    RETURN_IF_ERROR(fs->CreateFolders(ParentFolder(path)));
    ASSIGN_OR_RETURN(const auto file, fs->Create(temporary));
    RETURN_IF_ERROR(file->Append(HeaderOf(name, contents)));
    RETURN_IF_ERROR(file->Append(contents));
    RETURN_IF_ERROR(file->Close());
    return fs->Rename(temporary, path);
  };
  if (write().ok()) return true;
  std::error_code ignored;
  files::remove(temporary, ignored);
  std::lock_guard lock(mutex_);
  ++counts_.failed_writes;
  return false;
}

void BlockCache::Put(const std::string& key, uint64_t block, absl::string_view contents) {
  if (kHeaderBytes + contents.size() > limit_bytes_) return;
  if (!Write(PathOf(key, block), absl::StrCat(key, "-", block), contents)) return;
  std::unique_lock lock(mutex_);
  written_bytes_ += kHeaderBytes + contents.size();
  const bool look = held_bytes_ + written_bytes_ > limit_bytes_ || written_bytes_ > limit_bytes_ / 16;
  lock.unlock();
  if (look) MakeRoom();
}

// Looks at what there really is, since others write too, and deletes what was used longest ago down to nine tenths of the limit.
void BlockCache::MakeRoom() {
  const auto alone = RealFileSystem()->Lock(absl::StrCat(folder_, "/.lock"));
  if (!alone.ok()) return;  // somebody is at it
  std::vector<Stored> stored = ListAll(folder_);
  uint64_t bytes = BytesOf(stored);
  int64_t deleted = 0;
  if (bytes > limit_bytes_) {
    std::sort(stored.begin(), stored.end(), [](const Stored& a, const Stored& b) { return a.used < b.used; });
    std::error_code ignored;
    for (const Stored& one : stored) {
      if (bytes <= limit_bytes_ / 10 * 9) break;
      files::remove(one.path, ignored);
      bytes -= one.size_bytes;
      ++deleted;
    }
  }
  std::lock_guard lock(mutex_);
  held_bytes_ = bytes;
  written_bytes_ = 0;
  counts_.deleted += deleted;
}

BlockCache::Counts BlockCache::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace lockstep::data
