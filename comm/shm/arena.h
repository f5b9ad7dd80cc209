// The memory that one rank shows to its peers: one sparse memfd, of which pages exist once they are touched.
// Its head is the control page and the staging areas (comm/shm/control.h); the rest is handed out as peer
// buffers. A memfd needs no space in /dev/shm, has no name, and is gone with the last process that maps it,
// kill -9 included.
#ifndef LOCKSTEP_COMM_SHM_ARENA_H_
#define LOCKSTEP_COMM_SHM_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "comm/communicator.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

// A mapping of a whole memfd, unmapped on destruction.
class Mapping {
 public:
  Mapping() = default;
  ~Mapping();
  Mapping(Mapping&& other) noexcept { *this = std::move(other); }
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }
  // Maps the whole of `fd`, which may be closed afterwards.
  static absl::StatusOr<Mapping> Map(int fd, bool writable);

  std::byte* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
};

// This rank's own. Thread-safe.
class Arena : public std::enable_shared_from_this<Arena> {
 public:
  // As large as the machine's memory, since nobody can use more. The first `head_bytes` are not handed out.
  static absl::StatusOr<std::shared_ptr<Arena>> Make(size_t head_bytes);
  ~Arena();

  int fd() const { return fd_; }
  std::byte* data() const { return mapping_.data(); }

  // Page-aligned, zeroed, and backed by memory on return; from 2 MiB on by huge pages where there are any.
  // Error: ResourceExhausted.
  absl::StatusOr<PeerBuffer> Allocate(size_t size_bytes);

  // The offset of [data, data + size_bytes) in the arena's memory; false when it is not inside.
  bool OffsetOf(const void* data, size_t size_bytes, uint64_t& offset) const;

 private:
  Arena() = default;
  void Free(uint64_t offset, uint64_t size_bytes);

  int fd_ = -1;
  Mapping mapping_;
  std::mutex mutex_;
  std::map<uint64_t, uint64_t> free_;  // offset -> bytes; neighbours are always joined
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_SHM_ARENA_H_
