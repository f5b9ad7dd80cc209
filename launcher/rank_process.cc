#include "launcher/rank_process.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "launcher/parent_death.h"
#include "launcher/rank.h"
#include "launcher/supervisor_line.h"

namespace lockstep::launcher {
namespace {

// What a child needs, made before the fork so that nothing is allocated between fork and exec.
struct Words {
  std::vector<std::string> strings;
  std::vector<char*> pointers;
  void Seal() {
    for (std::string& text : strings) pointers.push_back(text.data());
    pointers.push_back(nullptr);
  }
};

// Test faults and the like stay; who an outer launcher said this process is does not.
bool IsOfALauncher(absl::string_view entry) {
  return absl::StartsWith(entry, "LOCKSTEP_") && !absl::StartsWith(entry, "LOCKSTEP_FAULTS=");
}

// This process's environment without what an outer launcher said, and with who the rank is.
Words EnvironmentOf(const RankStart& start) {
  Words environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!IsOfALauncher(*entry)) environment.strings.push_back(*entry);
  }
  const auto set = [&](absl::string_view name, const std::string& value) {
    environment.strings.push_back(absl::StrCat(name, "=", value));
  };
  set("LOCKSTEP_RANK", absl::StrCat(start.rank));
  set("LOCKSTEP_SIZE", absl::StrCat(start.size));
  set("LOCKSTEP_LOCAL_RANK", absl::StrCat(start.rank));
  if (start.meeting >= 0) set("LOCKSTEP_MEETING", absl::StrCat("fd:", start.meeting));
  set("LOCKSTEP_JOB", start.job);
  set(kLauncherPidVariable, absl::StrCat(getpid()));
  if (start.supervisor >= 0) {
    set("LOCKSTEP_ELASTIC", "1");
    set(kSupervisorVariable, absl::StrCat(start.supervisor));
  }
  if (start.join) set("LOCKSTEP_JOIN", "1");
  environment.Seal();
  return environment;
}

// In the child. A process group of its own keeps the terminal's Ctrl-C from reaching it beside our forwarded
// SIGINT.
[[noreturn]] void BecomeRankProcess(const Words& arguments, const Words& environment, const cpu_set_t* cores,
                                    const sigset_t& mask, pid_t launcher) {
  setpgid(0, 0);
  DieWithParent(launcher);
  if (cores != nullptr) sched_setaffinity(0, sizeof(*cores), cores);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing >= 0) dup2(nothing, STDIN_FILENO);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execve("/proc/self/exe", arguments.pointers.data(), environment.pointers.data());
  _exit(kCannotStart);
}

}  // namespace

absl::StatusOr<pid_t> StartRankProcess(const RankStart& start, const sigset_t& mask) {
  Words arguments{.strings = {"lockstep"}, .pointers = {}};
  arguments.strings.insert(arguments.strings.end(), start.arguments.begin(), start.arguments.end());
  arguments.Seal();
  const Words environment = EnvironmentOf(start);
  const pid_t self = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::InternalError(ErrnoText(absl::StrCat("cannot start rank ", start.rank), errno));
  if (pid == 0) BecomeRankProcess(arguments, environment, start.cores, mask, self);
  return pid;
}

std::string RandomJobName() {
  unsigned char bytes[8];
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
    return absl::StrCat(getpid(), "-", absl::GetCurrentTimeNanos());
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)));
}

std::string DescribeEnd(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return absl::StrCat("was killed by signal ", WTERMSIG(wait_status), " (",
                        strsignal(WTERMSIG(wait_status)), ")");
  }
  const int code = WEXITSTATUS(wait_status);
  return code == kCannotStart ? std::string("could not be started")
                              : absl::StrCat("ended with exit code ", code);
}

int CodeOfEnd(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace lockstep::launcher
