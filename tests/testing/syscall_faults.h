// Faults of the kernel itself, for tests of the real file system: the N-th system call that a thread makes on
// files fails, is interrupted, or writes less than it was given. The test's executable takes the place of the
// C library's write, fsync and so on; without an armed fault they do what they always do.
#ifndef LOCKSTEP_TESTS_TESTING_SYSCALL_FAULTS_H_
#define LOCKSTEP_TESTS_TESTING_SYSCALL_FAULTS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep::testing {

enum class SyscallFault {
  kFail,         // with `error`, nothing done
  kInterrupted,  // EINTR once, nothing done
  kShort,        // a read or write moves one byte; others are as always
};

// Counts and disturbs the calls of the thread that made it, from then to its end. One at a time a thread.
class SyscallFaults {
 public:
  // Call number `n` (from 1; 0: none) is disturbed, and with `lasting` every one after it too.
  SyscallFaults(int64_t n, SyscallFault kind, int error, bool lasting);
  ~SyscallFaults();
  SyscallFaults(const SyscallFaults&) = delete;
  SyscallFaults& operator=(const SyscallFaults&) = delete;

  int64_t calls() const;
  std::vector<std::string> names() const;  // "write", "fsync", ...
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_SYSCALL_FAULTS_H_
