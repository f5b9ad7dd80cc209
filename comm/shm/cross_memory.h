// Reading the ordinary memory of another process of this machine (man 2 process_vm_readv): one copy, where
// shared memory that does not hold the data itself needs two. Many containers and hardened kernels forbid it.
#ifndef LOCKSTEP_COMM_SHM_CROSS_MEMORY_H_
#define LOCKSTEP_COMM_SHM_CROSS_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace lockstep::comm {

// Copies what process `pid` has at its `address` to `to`. False, with errno, when not all of it could be
// read.
bool ReadOfProcess(int pid, uint64_t address, void* to, size_t size_bytes);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_SHM_CROSS_MEMORY_H_
