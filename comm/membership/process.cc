#include "comm/membership/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace lockstep::comm {
namespace {

std::string LinkOf(const char* path) {
  char text[64];
  const ssize_t length = readlink(path, text, sizeof text);
  return length > 0 ? std::string(text, length) : "";
}

struct Stat {
  bool known = false;  // /proc told
  bool there = false;
  char state = '?';
  uint64_t began = 0;
};

// "123 (name) S ...": the name may hold anything, also brackets and spaces.
Stat ReadStat(int64_t pid) {
  const Fd fd(open(absl::StrCat("/proc/", pid, "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return {access("/proc/self/stat", F_OK) == 0 && errno != EMFILE, false};
  char text[1024];
  const ssize_t length = read(fd.get(), text, sizeof text);
  if (length <= 0) return {true, false};  // it ended in between
  const absl::string_view line(text, length);
  const size_t name_end = line.rfind(')');
  if (name_end == absl::string_view::npos) return {};
  const std::vector<absl::string_view> fields =
      absl::StrSplit(line.substr(name_end + 1), ' ', absl::SkipEmpty());
  Stat stat{true, true};
  constexpr size_t kBegan = 22 - 3;  // the first field here is the third
  if (fields.size() <= kBegan || !absl::SimpleAtoi(fields[kBegan], &stat.began)) return {};
  stat.state = fields[0][0];
  return stat;
}

int OpenPidFd(int64_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)); }

}  // namespace

std::string MachineOfThisProcess(const std::string& suffix) {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  // Who cannot say where it is shares a machine with nobody.
  if (boot.empty()) boot = absl::StrCat("unknown-", getpid(), "-", ThisProcess().began);
  return absl::StrCat(boot, " ", LinkOf("/proc/self/ns/net"), " ", LinkOf("/proc/self/ns/pid"),
                      suffix.empty() ? "" : " ", suffix);
}

ProcessId ThisProcess() { return {getpid(), ReadStat(getpid()).began}; }

ProcessState StateOf(const ProcessId& process) {
  if (process.pid <= 0) return ProcessState::kUnknown;
  const Stat stat = ReadStat(process.pid);
  if (!stat.known) return ProcessState::kUnknown;
  if (!stat.there || stat.began != process.began) return ProcessState::kGone;
  if (stat.state == 'Z' || stat.state == 'X' || stat.state == 'x') return ProcessState::kGone;
  return stat.state == 'T' || stat.state == 't' ? ProcessState::kStopped : ProcessState::kLives;
}

Fd WatchProcess(const ProcessId& process) {
  Fd fd(process.pid > 0 ? OpenPidFd(process.pid) : -1);
  // Checked once it is held: from here on the descriptor means this process, whatever becomes of its number.
  const ProcessState state = StateOf(process);
  if (state != ProcessState::kLives && state != ProcessState::kStopped) fd.Close();
  return fd;
}

bool KillProcess(const ProcessId& process) {
  if (process.pid == getpid()) return false;
  const Fd fd = WatchProcess(process);
  if (fd.valid()) {
    return syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0) == 0;
  }
  return false;  // gone, or this kernel cannot name it safely
}

}  // namespace lockstep::comm
