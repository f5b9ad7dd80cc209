// Processes of this machine, told from later ones of the same number by when they began. Internal to comm/.
#ifndef LOCKSTEP_COMM_MEMBERSHIP_PROCESS_H_
#define LOCKSTEP_COMM_MEMBERSHIP_PROCESS_H_

#include <cstdint>
#include <string>

#include "comm/fd.h"

namespace lockstep::comm {

// The same text for processes that see each other's numbers and share a network: kernel (of this boot),
// network and process namespaces. `suffix`, where not empty, sets processes of one machine apart, for tests.
std::string MachineOfThisProcess(const std::string& suffix);

struct ProcessId {
  int64_t pid = 0;
  uint64_t began = 0;  // clock ticks since boot, field 22 of /proc/PID/stat

  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};
ProcessId ThisProcess();

enum class ProcessState {
  kLives,
  kStopped,  // by a signal or a debugger
  kGone,     // ended, also when nobody has waited for it yet; or another process has its number
  kUnknown,  // /proc does not tell
};
ProcessState StateOf(const ProcessId& process);

// Readable (POLLIN) once the process has ended. Invalid when it has already, or when the kernel has no such
// thing.
Fd WatchProcess(const ProcessId& process);

// SIGKILL for exactly this process, never for another that took its number, never for the calling one. True
// when it was sent.
bool KillProcess(const ProcessId& process);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MEMBERSHIP_PROCESS_H_
