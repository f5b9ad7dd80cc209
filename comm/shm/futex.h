// Sleeping on a word of shared memory until someone changes it (man 2 futex).
#ifndef LOCKSTEP_COMM_SHM_FUTEX_H_
#define LOCKSTEP_COMM_SHM_FUTEX_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <ctime>

namespace lockstep::comm {

// Sleeps while `word` holds `value`, at most `nanoseconds` (< 1e9). May return early for no reason. The word
// may be mapped read-only.
inline void FutexWait(const std::atomic<uint32_t>& word, uint32_t value, long nanoseconds) {
  const timespec timeout{0, nanoseconds};
  syscall(SYS_futex, &word, FUTEX_WAIT, value, &timeout, nullptr, 0);
}

inline void FutexWakeAll(const std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_SHM_FUTEX_H_
