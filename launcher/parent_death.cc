#include "launcher/parent_death.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "runtime/core/names.h"

namespace lockstep::launcher {
namespace {

// Whether process 1 is what starts ranks; otherwise it is the init that orphans are given to.
bool InitIsLauncher() {
  std::string name;
  std::getline(std::ifstream("/proc/1/comm") >> std::ws, name);
  return MatchesPattern(name,
                        "mpirun|mpiexec*|orterun|orted|prterun|prted|prte|hydra_*|slurmstepd|lockstep*");
}

}  // namespace

void DieWithParent(pid_t parent) {
  const pid_t before = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have ended before the request was made: then we have another parent than the one we were
  // born to.
  const pid_t now = getppid();
  const bool orphan = parent > 0 ? now != parent : now != before || (now == 1 && !InitIsLauncher());
  if (orphan) raise(SIGKILL);
}

}  // namespace lockstep::launcher
