#include "comm/shm/cross_memory.h"

#include <sys/uio.h>

#include <cerrno>

namespace lockstep::comm {

bool ReadOfProcess(int pid, uint64_t address, void* to, size_t size_bytes) {
  while (size_bytes > 0) {
    const iovec mine{to, size_bytes};
    const iovec theirs{reinterpret_cast<void*>(static_cast<uintptr_t>(address)), size_bytes};
    const ssize_t n = process_vm_readv(pid, &mine, 1, &theirs, 1, 0);
    if (n == 0) errno = EFAULT;
    if (n <= 0) return false;
    address += static_cast<uint64_t>(n);
    to = static_cast<std::byte*>(to) + n;
    size_bytes -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace lockstep::comm
