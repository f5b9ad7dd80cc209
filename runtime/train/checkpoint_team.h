// Which ranks of a world write its checkpoints.
#ifndef LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_TEAM_H_
#define LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_TEAM_H_

#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "runtime/core/file_system.h"
#include "runtime/core/log.h"
#include "runtime/train/checkpoint_save.h"

namespace lockstep::train {

// A collective, once a start and again for every new generation. `run_folder` is there; `state_bytes` and
// `shard_bytes` (see ShardsFor) are the same on all ranks. Several ranks write only where all of them see
// what rank 0 puts into the folder: where it is not shared, rank 0 writes alone, and says so in `log`.
// Borrows the communicator, which must outlive the writer that the team is given to. Error: the
// communicator's.
absl::StatusOr<SaveTeam> FormSaveTeam(comm::Communicator& communicator, FileSystem* fs,
                                      const std::string& run_folder, uint64_t state_bytes,
                                      int64_t shard_bytes, Logger* log);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_TEAM_H_
