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

constexpr size_t kPageBytes = 4096, kHugePageBytes = size_t{2} << 20;
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

// Maps the whole file at an address where its huge pages can be mapped as such. MAP_FAILED and errno as mmap.
void* MapAligned(int fd, size_t size_bytes, int protection) {
  const size_t room_bytes = size_bytes + kHugePageBytes;
  void* const room = mmap(nullptr, room_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return MAP_FAILED;
  auto* const begin = static_cast<std::byte*>(room);
  std::byte* const at = begin + (RoundUp(reinterpret_cast<uintptr_t>(room), kHugePageBytes) -
                                 reinterpret_cast<uintptr_t>(room));
  void* const data = mmap(at, size_bytes, protection, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    munmap(room, room_bytes);
    errno = error;
    return MAP_FAILED;
  }
  std::byte* const end = at + RoundUp(size_bytes, kPageBytes);
  if (at > begin) munmap(begin, at - begin);
  if (begin + room_bytes > end) munmap(end, begin + room_bytes - end);
  return data;
}

// Puts memory behind [data, data + size_bytes), page-aligned: huge pages where the kernel has them, which
// peers map as such too, so that large buffers need few entries of the processor's address cache.
// MADV_COLLAPSE (Linux 6.1) works whatever shmem_enabled says; it needs a page to start from. False without
// memory.
bool Populate(std::byte* data, size_t size_bytes) {
  const auto refused = [](int result) { return result != 0 && (errno == ENOMEM || errno == EFAULT); };
  const auto address = reinterpret_cast<uintptr_t>(data);
  const size_t before = RoundUp(address, kHugePageBytes) - address;
  if (before + kHugePageBytes <= size_bytes) {
    const size_t huge_bytes = (size_bytes - before) / kHugePageBytes * kHugePageBytes;
    for (size_t i = 0; i < huge_bytes; i += kHugePageBytes) {
      if (refused(madvise(data + before + i, kPageBytes, MADV_POPULATE_WRITE))) return false;
    }
    madvise(data + before, huge_bytes, MADV_COLLAPSE);  // a refusal costs speed only
  }
  if (madvise(data, size_bytes, MADV_POPULATE_WRITE) == 0) return true;
  if (errno == ENOMEM || errno == EFAULT) return false;
  std::memset(data, 0, size_bytes);  // a kernel before 5.14
  return true;
}

}  // namespace

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, size_bytes_);
}

absl::StatusOr<Mapping> Mapping::Map(int fd, bool writable) {
  struct stat info;
  if (fstat(fd, &info) != 0) return PeerError(ErrnoText("shared memory: cannot examine the file", errno));
  const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
  void* data = MapAligned(fd, info.st_size, protection);
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
    const uint64_t step = bytes >= kHugePageBytes ? kHugePageBytes : kPageBytes;
    auto hole = free_.begin();
    for (; hole != free_.end(); ++hole) {
      offset = RoundUp(hole->first, step);
      if (offset + bytes <= hole->first + hole->second) break;
    }
    if (hole == free_.end()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("a peer buffer of ", size_bytes, " bytes: the peer buffers already hold all memory"));
    }
    const uint64_t end = hole->first + hole->second;
    hole->second = offset - hole->first;
    if (hole->second == 0) free_.erase(hole);
    if (offset + bytes < end) free_[offset + bytes] = end - offset - bytes;
  }
  std::byte* const data = mapping_.data() + offset;
  // Backed now, by the owner and on the owner's memory node, so that lack of memory shows here and not in a
  // collective.
  if (!Populate(data, bytes)) {
    Free(offset, bytes);
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for a peer buffer of ", size_bytes, " bytes"));
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
