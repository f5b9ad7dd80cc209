// Ranks that meet through the PMIx server of their launcher (mpirun, srun). Built as pmix_meeting.cc, or
// no_pmix.cc where libpmix is not installed.
#ifndef LOCKSTEP_COMM_PMIX_PMIX_MEETING_H_
#define LOCKSTEP_COMM_PMIX_PMIX_MEETING_H_

#include <memory>

#include "comm/store.h"

namespace lockstep::comm {

// Error: Unavailable when there is no libpmix or its server does not answer; the caller then looks for
// another place. DeadlineError when it, or another rank, does not come in time.
absl::StatusOr<std::unique_ptr<Meeting>> JoinPmixMeeting(int rank, int size, Deadline deadline);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_PMIX_PMIX_MEETING_H_
