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

// `status` for the end of this rank: an error says its rank. One that all ranks share
// (runtime/train/agreement.h words those "rank N: ...") is said by rank 0 alone: elsewhere the result is OK
// and context.exit_code is set.
absl::Status RankStatus(const absl::Status& status, const comm::World& world, CommandContext* context);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_RANK_H_
