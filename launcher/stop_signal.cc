#include "launcher/stop_signal.h"

#include <signal.h>

namespace lockstep::launcher {
namespace {

// A signal handler can reach nothing but statics; this is the program's, not the library's.
std::atomic<int> stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void OnSignal(int signal) {
  int none = 0;
  if (stop_signal.compare_exchange_strong(none, signal) || signal != SIGINT || none != SIGINT) return;
  ::signal(SIGINT, SIG_DFL);
  raise(SIGINT);
}

}  // namespace

const std::atomic<int>* InstallStopSignals() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaction(signal, &action, nullptr);
  return &stop_signal;
}

int ExitCodeOfSignal(int signal) { return signal == SIGUSR1 ? 0 : 128 + signal; }

}  // namespace lockstep::launcher
