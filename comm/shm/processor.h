// What C++ has no words for: hints to the processor, and a fence for stores before loads.
#ifndef LOCKSTEP_COMM_SHM_PROCESSOR_H_
#define LOCKSTEP_COMM_SHM_PROCESSOR_H_

#include <atomic>

namespace lockstep::comm {

inline void CpuRelax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Loads that follow see what others stored before their own FullFence, or these see our stores.
inline void FullFence() {
#if defined(__x86_64__)
  asm volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");  // half of what mfence takes
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// Takes the cache line at `data` from the other cores, which changes no byte, so that storing to it soon does
// not wait for them. Compilers leave it out unless told which processor they build for.
inline void PrefetchToWrite(const void* data) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" ::"m"(*static_cast<const char*>(data)));
#else
  __builtin_prefetch(data, 1);
#endif
}

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_SHM_PROCESSOR_H_
