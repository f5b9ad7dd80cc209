#include "comm/shm/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/core/aligned_buffer.h"

namespace lockstep::comm {
namespace {

constexpr size_t kPageBytes = 4096;
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

}  // namespace

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, size_bytes_);
}

absl::StatusOr<Mapping> Mapping::Map(int fd, bool writable) {
  struct stat info;
  if (fstat(fd, &info) != 0) return PeerError(ErrnoText("shared memory: cannot examine the file", errno));
  const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
  void* data = mmap(nullptr, info.st_size, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (data == MAP_FAILED) {
    return PeerError(ErrnoText(absl::StrCat("shared memory: cannot map ", info.st_size,
                                            " bytes of address space"
                                            " (is there a limit, ulimit -v?)"),
                               errno));
  }
  Mapping mapping;
  mapping.data_ = static_cast<std::byte*>(data);
  mapping.size_bytes_ = info.st_size;
  return mapping;
}

absl::StatusOr<std::shared_ptr<Arena>> Arena::Make(size_t head_bytes) {
  std::shared_ptr<Arena> arena(new Arena);
  arena->fd_ = memfd_create("lockstep", MFD_CLOEXEC);
  if (arena->fd_ < 0) return PeerError(ErrnoText("shared memory: memfd_create", errno));
  const size_t memory = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  const size_t head = RoundUp(head_bytes, kPageBytes);
  const size_t size = head + RoundUp(memory, kPageBytes);
  if (ftruncate(arena->fd_, size) != 0) {
    return PeerError(
        ErrnoText(absl::StrCat("shared memory: a sparse file of ", size, " bytes (ulimit -f?)"), errno));
  }
  ASSIGN_OR_RETURN(arena->mapping_, Mapping::Map(arena->fd_, true));
  arena->free_[head] = size - head;
  return arena;
}

Arena::~Arena() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<PeerBuffer> Arena::Allocate(size_t size_bytes) {
  if (size_bytes == 0) return PeerBuffer();
  if (size_bytes > mapping_.size_bytes()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a peer buffer of ", size_bytes, " bytes is larger than the machine's memory"));
  }
  const uint64_t bytes = RoundUp(size_bytes, kPageBytes);
  uint64_t offset = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto hole = free_.begin();
    while (hole != free_.end() && hole->second < bytes) ++hole;
    if (hole == free_.end()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("a peer buffer of ", size_bytes, " bytes: the peer buffers already hold all memory"));
    }
    offset = hole->first;
    const uint64_t rest = hole->second - bytes;
    free_.erase(hole);
    if (rest > 0) free_[offset + bytes] = rest;
  }
  std::byte* const data = mapping_.data() + offset;
  // Backed now, by the owner and on the owner's memory node, so that lack of memory shows here and not in a
  // collective.
  if (madvise(data, bytes, MADV_POPULATE_WRITE) != 0) {
    if (errno == ENOMEM || errno == EFAULT) {
      Free(offset, bytes);
      return absl::ResourceExhaustedError(
          absl::StrCat("no memory for a peer buffer of ", size_bytes, " bytes"));
    }
    std::memset(data, 0, bytes);  // a kernel before 5.14
  }
  std::shared_ptr<void> keeper(
      data, [self = shared_from_this(), offset, bytes](void*) { self->Free(offset, bytes); });
  return PeerBuffer(data, size_bytes, std::move(keeper));
}

void Arena::Free(uint64_t offset, uint64_t size_bytes) {
  // Gives the pages back; whoever gets the range next finds zeros.
  fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size_bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && offset + size_bytes == next->first) {
    size_bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += size_bytes;
      return;
    }
  }
  free_[offset] = size_bytes;
}

bool Arena::OffsetOf(const void* data, size_t size_bytes, uint64_t& offset) const {
  const auto at = reinterpret_cast<uintptr_t>(data), base = reinterpret_cast<uintptr_t>(mapping_.data());
  if (at < base || at - base > mapping_.size_bytes() || size_bytes > mapping_.size_bytes() - (at - base))
    return false;
  offset = at - base;
  return true;
}

}  // namespace lockstep::comm
