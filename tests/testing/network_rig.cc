#include "tests/testing/network_rig.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace lockstep::testing {
namespace {

absl::Status Shell(const std::string& script) {
  std::FILE* const pipe = popen(absl::StrCat("exec 2>&1; set -e; ", script).c_str(), "r");
  if (pipe == nullptr) return absl::UnavailableError(ErrnoText("popen", errno));
  std::string output;
  char buffer[256];
  while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) output += buffer;
  if (pclose(pipe) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("'", script, "' failed: ", output));
}

// Runs `command` in the network namespace of a process.
std::string In(pid_t holder, const std::string& command) {
  return absl::StrCat("nsenter -t ", holder, " -n ", command, "; ");
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetworkRig>> NetworkRig::Make(int machines) {
  if (geteuid() != 0) return absl::UnavailableError("network namespaces need root");
  std::unique_ptr<NetworkRig> rig(new NetworkRig());
  for (int i = 0; i <= machines; ++i) RETURN_IF_ERROR(rig->AddNamespace());
  RETURN_IF_ERROR(rig->Wire());
  return rig;
}

absl::Status NetworkRig::AddNamespace() {
  int ready[2];
  if (pipe(ready) != 0) return absl::UnavailableError(ErrnoText("pipe", errno));
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ready[0]);
    const int error = unshare(CLONE_NEWNET) == 0 ? 0 : errno;
    if (write(ready[1], &error, sizeof error) != sizeof error || error != 0) _exit(1);
    close(ready[1]);
    while (true) pause();
  }
  close(ready[1]);
  holders_.push_back(pid);
  int error = 0;
  const bool told = read(ready[0], &error, sizeof error) == sizeof error;
  close(ready[0]);
  if (told && error == 0) return absl::OkStatus();
  return absl::UnavailableError(ErrnoText("no network namespace can be made", error));
}

absl::Status NetworkRig::Wire() const {
  const pid_t bridge = holders_.back();
  std::string script = In(bridge, "ip link add bridge0 type bridge") + In(bridge, "ip link set bridge0 up");
  for (size_t m = 0; m + 1 < holders_.size(); ++m) {
    const pid_t machine = holders_[m];
    const std::string port = absl::StrCat("port", m);
    absl::StrAppend(
        &script, In(bridge, absl::StrCat("ip link add ", port, " type veth peer name eth0 netns ", machine)),
        In(bridge, absl::StrCat("ip link set ", port, " master bridge0 up")),
        In(machine, absl::StrCat("ip addr add 10.77.0.", m + 1, "/24 dev eth0")),
        In(machine, "ip link set lo up"), In(machine, "ip link set eth0 up"));
  }
  return Shell(script);
}

void NetworkRig::Enter(int machine) const {
  const std::string path = absl::StrCat("/proc/", holders_[machine], "/ns/net");
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
    std::fprintf(stderr, "%s\n", ErrnoText(path, errno).c_str());
    std::abort();
  }
  close(fd);
}

absl::Status NetworkRig::Cut(int machine) const {
  return Shell(In(holders_.back(), absl::StrCat("ip link set port", machine, " down")));
}

NetworkRig::~NetworkRig() {
  for (const pid_t holder : holders_) {
    kill(holder, SIGKILL);
    waitpid(holder, nullptr, 0);
  }
}

}  // namespace lockstep::testing
