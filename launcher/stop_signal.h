// SIGTERM, SIGINT and SIGUSR1 ask a run to checkpoint and leave.
#ifndef LOCKSTEP_LAUNCHER_STOP_SIGNAL_H_
#define LOCKSTEP_LAUNCHER_STOP_SIGNAL_H_

#include <atomic>

namespace lockstep::launcher {

// Installs the handlers and returns where the number of the first such signal appears (0 until then). The
// flag lives as long as the process. A second SIGINT ends the process at once, as if nothing had been
// installed: an impatient user.
const std::atomic<int>* InstallStopSignals();

// The exit code of a run that `signal` ended cleanly: 143, 130, or 0 for SIGUSR1 ("checkpoint and leave").
int ExitCodeOfSignal(int signal);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_STOP_SIGNAL_H_
