// One save of a checkpoint, from the tensors in memory to the folder that is complete.
//
// A save: files are written and synced in a temporary folder, that folder is synced, renamed to step-N, and
// the parent is synced; only then `best` moves and old checkpoints are pruned. So at every moment of a crash
// or power cut either the new checkpoint is complete or the one before it is the newest. With several
// writers, rank 0 writes the manifest after it knows that every shard is durable (checkpoint_messages.h).
#ifndef LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_SAVE_H_
#define LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_SAVE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/core/file_system.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/checkpoint_messages.h"
#include "runtime/train/checkpoint_parts.h"
#include "runtime/train/manifest.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// How one save ended.
struct SaveOutcome {
  int64_t step = 0;
  absl::Status status;        // not OK: a CheckpointError with the disk's reason; older checkpoints are whole
  absl::Status after_commit;  // not OK: the checkpoint is safe, but `best` or pruning failed
  std::string path;
  StateHashes
      hashes;  // on the rank that commits. Filled in even where the disk failed, if it had all tensors
  uint64_t size_bytes = 0;  // of the tensor files; of its own shard on the ranks that do not commit
  double seconds = 0;       // in the background
};

// The ranks that write a checkpoint together, as one of them sees them. A team of one needs nothing of this.
struct SaveTeam {
  int shards = 1;     // files are divided into so many
  int shard = 0;      // this rank's; 0: the one that commits; -1: it writes nothing
  std::string nonce;  // the same on all, and of no earlier start or generation of any run in this folder
  // A collective of all ranks of the world, also those without a shard; on the thread that calls Save.
  std::function<absl::Status()> meet;
  Patience patience;  // `abandoned` is the writer's own
};

struct CheckpointWriterOptions {
  FileSystem* fs = nullptr;
  std::string folder;            // RUN/checkpoints; made when missing
  int keep_last = 3;             // >= 1; the best one is kept besides
  int64_t keep_every_steps = 0;  // > 0: checkpoints of multiples of it are kept besides
  SaveTeam team;
  // Called on the background thread after each save, also the failed ones.
  std::function<void(const SaveOutcome&)> on_done;
  // Called on the background thread when the files are durable and before the checkpoint becomes visible;
  // makes durable what a checkpoint must never run ahead of (metrics, ledger). An error fails the save.
  std::function<absl::Status(int64_t step)> before_commit;
  // Called now and then by a thread that waits for a save under way: it is not a hang. May be empty.
  std::function<void()> while_waiting;
  CopyFunction copy;  // how tensors get to host memory; memcpy unless given
};

// The id of a save by several writers, which all of them know without a word.
std::string SaveIdOf(const std::string& nonce, int64_t step);

// The whole save, as the only writer or as the one that commits, in the calling thread. `manifest`: files,
// tensors, save id and hashes are filled in here, and format_version, wall_time and build_id where empty.
// `best`: this checkpoint becomes the best one once it is durable. Tensors of other writers' shards may be without
// data (moments of a sharded optimizer): then the hash of the state is made of the files, read back and checked.
SaveOutcome SaveCheckpoint(const CheckpointWriterOptions& options, Manifest manifest,
                           const TrainTensors& tensors, bool best);

// The share of a writer that does not commit: `parts`, which may live in memory that is this rank's alone (of
// a sharded optimizer, say). OK with nothing written when the save was abandoned.
SaveOutcome SaveShard(const CheckpointWriterOptions& options, Manifest manifest,
                      const std::vector<CheckpointPart>& parts);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_SAVE_H_
