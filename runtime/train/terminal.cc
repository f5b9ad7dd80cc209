#include "runtime/train/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <string>

namespace lockstep::train {
namespace {

Terminal TerminalOf(int fd) {
  Terminal terminal;
  terminal.live = ::isatty(fd) == 1;
  winsize size{};
  if (terminal.live && ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) terminal.columns = size.ws_col;
  return terminal;
}

}  // namespace

Terminal FindTerminal(int fd, bool launched) {
  if (!launched) return TerminalOf(fd);
  const std::string link = "/proc/" + std::to_string(::getppid()) + "/fd/" + std::to_string(fd);
  // Opened for writing and without becoming this process's controlling terminal; nothing is written to it.
  const int parents = ::open(link.c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (parents < 0) return Terminal();
  const Terminal terminal = TerminalOf(parents);
  ::close(parents);
  return terminal;
}

}  // namespace lockstep::train
