// Communicators of some of the ranks: Communicator::Split. Internal to comm/.
#ifndef LOCKSTEP_COMM_SPLIT_H_
#define LOCKSTEP_COMM_SPLIT_H_

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/engine.h"
#include "comm/store.h"

namespace lockstep::comm {

// The ranks `members` of `parent`, in that order, meet by messages over it: to the first of them and back. No
// other rank takes part; the first member makes the secret. `parent` outlives the meeting. Errors: the parent's.
absl::StatusOr<std::unique_ptr<Meeting>> MakeGroupMeeting(Communicator& parent, std::vector<int> members,
                                                          Deadline deadline);

// As Communicator::Split; `remake` makes the new communicator.
absl::StatusOr<std::unique_ptr<Communicator>> SplitCommunicator(Communicator& parent, int color, int key,
                                                                const CallOptions& options,
                                                                const Remake& remake);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_SPLIT_H_
