#include "launcher/supervisor_line.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lockstep::launcher {

SupervisorLine::SupervisorLine(int slot) : slot_(slot) {
  const char* text = std::getenv(kSupervisorVariable);
  int fd = -1;
  if (text != nullptr && absl::SimpleAtoi(text, &fd) && fcntl(fd, F_GETFD) >= 0) fd_ = fd;
}

void SupervisorLine::SayMember() const { (void)Write(absl::StrCat("member ", slot_, "\n")); }

void SupervisorLine::SayLeft() const { (void)Write(absl::StrCat("left ", slot_, "\n")); }

absl::Status SupervisorLine::AskForRanks(int ranks) const {
  if (Write(absl::StrCat("grow ", ranks, "\n"))) return absl::OkStatus();
  return ConfigError("`lockstep launch` does not listen any more");
}

bool SupervisorLine::Write(absl::string_view line) const {
  return fd_ >= 0 && write(fd_, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

}  // namespace lockstep::launcher
