// Ranks do not outlive the launcher that started them: a half-dead run would hold the output folder and the
// cores.
#ifndef LOCKSTEP_LAUNCHER_PARENT_DEATH_H_
#define LOCKSTEP_LAUNCHER_PARENT_DEATH_H_

#include <sys/types.h>

namespace lockstep::launcher {

// Asks the kernel to kill this process (SIGKILL) when its parent ends, and kills it at once when the parent
// has ended already. `parent` is the launcher's process id where it is known (`lockstep launch` passes it
// on), or 0: then a parent of process id 1 counts as dead unless that process is itself a launcher, as in a
// container that runs mpirun. Call it from the main thread, early.
void DieWithParent(pid_t parent);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_PARENT_DEATH_H_
