// What every command that runs as one rank of a world does first and last.
#ifndef LOCKSTEP_LAUNCHER_RANK_H_
#define LOCKSTEP_LAUNCHER_RANK_H_

#include "comm/bootstrap.h"
#include "launcher/command.h"

namespace lockstep::launcher {

// The environment variable that holds the process id of `lockstep launch`, for DieWithParent.
inline constexpr char kLauncherPidVariable[] = "LOCKSTEP_LAUNCHER_PID";

// Who this process is; started by a launcher, it dies with it from here on.
absl::StatusOr<comm::World> BecomeRank();

// Whether this rank says what all ranks of its machine know: the first of the machine does. The others give
// it a moment before this returns false, as the launcher kills everyone when the first rank ends.
bool SpeaksForMachine(const comm::World& world);

// `status` for the end of this rank, said once: an error of usage or configuration by the first rank of each
// machine, one that all ranks share (runtime/train/agreement.h words those "rank N: ...") by rank 0, any
// other with its rank. A rank that keeps silent gets OK and context.exit_code.
absl::Status RankStatus(const absl::Status& status, const comm::World& world, CommandContext* context);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_RANK_H_
