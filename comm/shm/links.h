// Brings the ranks of one machine together: a Unix socket between every two of them, over which each hands
// the other its arena. The sockets stay open and never carry anything again: their end is how a rank's death
// is noticed.
#ifndef LOCKSTEP_COMM_SHM_LINKS_H_
#define LOCKSTEP_COMM_SHM_LINKS_H_

#include <cstdint>
#include <vector>

#include "comm/fd.h"
#include "comm/shm/arena.h"
#include "comm/store.h"
#include "runtime/core/clock.h"

namespace lockstep::comm {

struct ShmLink {
  Fd socket;        // invalid for the own rank
  Mapping mapping;  // of the peer's arena, read-only
};

// One link for each rank. Collective over the meeting: succeeds or fails on all ranks. Both ends prove that
// they know the meeting's secret. Error: PeerError naming the rank that could not (another machine, another
// container). `names`: what errors call each rank, where the meeting is of some of a larger world; empty: its
// number.
absl::StatusOr<std::vector<ShmLink>> ConnectShmLinks(Meeting& meeting, uint64_t generation, int arena_fd,
                                                     Deadline deadline, const std::vector<int>& names = {});

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_SHM_LINKS_H_
