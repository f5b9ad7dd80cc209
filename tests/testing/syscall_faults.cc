#include "tests/testing/syscall_faults.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

namespace lockstep::testing {
namespace {

struct Armed {
  bool on = false;
  int64_t n = 0, calls = 0;
  SyscallFault kind = SyscallFault::kFail;
  int error = 0;
  bool lasting = false;
  std::vector<std::string> names;
};
thread_local Armed armed;

enum class Fate { kAsAlways, kFailed, kShort };

// Counts a call, and sets errno where it is to fail.
Fate Next(const char* name, bool moves_bytes) {
  if (!armed.on) return Fate::kAsAlways;
  armed.on = false;  // what the bookkeeping itself does is not counted
  armed.names.emplace_back(name);
  armed.on = true;
  const int64_t call = ++armed.calls;
  const bool due = armed.n > 0 && (armed.lasting ? call >= armed.n : call == armed.n);
  if (!due) return Fate::kAsAlways;
  switch (armed.kind) {
    case SyscallFault::kFail:
      errno = armed.error;
      return Fate::kFailed;
    case SyscallFault::kInterrupted:
      if (!moves_bytes) return Fate::kAsAlways;
      errno = EINTR;
      return Fate::kFailed;
    case SyscallFault::kShort:
      return moves_bytes ? Fate::kShort : Fate::kAsAlways;
  }
  return Fate::kAsAlways;
}

}  // namespace

SyscallFaults::SyscallFaults(int64_t n, SyscallFault kind, int error, bool lasting) {
  armed = {true, n, 0, kind, error, lasting, {}};
}
SyscallFaults::~SyscallFaults() { armed = Armed(); }
int64_t SyscallFaults::calls() const { return armed.calls; }
std::vector<std::string> SyscallFaults::names() const { return armed.names; }

}  // namespace lockstep::testing

// In place of the C library's. Each ends in the system call that the library's would make.
extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  const auto fate = lockstep::testing::Next("write", true);
  if (fate == lockstep::testing::Fate::kFailed) return -1;
  if (fate == lockstep::testing::Fate::kShort && size > 1) size = 1;
  return syscall(SYS_write, fd, bytes, size);
}

ssize_t pread(int fd, void* bytes, size_t size, off_t offset) {
  const auto fate = lockstep::testing::Next("pread", true);
  if (fate == lockstep::testing::Fate::kFailed) return -1;
  if (fate == lockstep::testing::Fate::kShort && size > 1) size = 1;
  return syscall(SYS_pread64, fd, bytes, size, offset);
}

int fsync(int fd) {
  if (lockstep::testing::Next("fsync", false) == lockstep::testing::Fate::kFailed) return -1;
  return static_cast<int>(syscall(SYS_fsync, fd));
}

int close(int fd) {
  const auto fate = lockstep::testing::Next("close", false);
  const int error = errno;
  const int result = static_cast<int>(syscall(SYS_close, fd));  // Linux closes in any case
  if (fate != lockstep::testing::Fate::kFailed) return result;
  errno = error;
  return -1;
}

int rename(const char* from, const char* to) {
  if (lockstep::testing::Next("rename", false) == lockstep::testing::Fate::kFailed) return -1;
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int mkdir(const char* path, mode_t mode) {
  if (lockstep::testing::Next("mkdir", false) == lockstep::testing::Fate::kFailed) return -1;
  return static_cast<int>(syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

int unlink(const char* path) {
  if (lockstep::testing::Next("unlink", false) == lockstep::testing::Fate::kFailed) return -1;
  return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

int rmdir(const char* path) {
  if (lockstep::testing::Next("rmdir", false) == lockstep::testing::Fate::kFailed) return -1;
  return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
  va_end(arguments);
  if (lockstep::testing::Next("open", false) == lockstep::testing::Fate::kFailed) return -1;
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

}  // extern "C"
