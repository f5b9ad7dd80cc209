// Which cores each rank of a machine gets when this machine's ranks are started by `lockstep launch`.
#ifndef LOCKSTEP_LAUNCHER_CORE_BINDING_H_
#define LOCKSTEP_LAUNCHER_CORE_BINDING_H_

#include <sched.h>

#include <vector>

#include "runtime/core/status.h"

namespace lockstep::launcher {

// One set for each of `ranks` ranks: the processors that this process may run on, cut into shares that do not
// overlap and that keep to caches and NUMA nodes (hwloc_distrib). Empty when there are fewer processors than
// ranks: bind nothing.
absl::StatusOr<std::vector<cpu_set_t>> DistributeCores(int ranks);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_CORE_BINDING_H_
