// What `lockstep checkpoint` does: list, verify, compare and export checkpoints.
//
// A path is a checkpoint folder, a run folder (RUN), its folder of checkpoints, or RUN/checkpoints/best.
// Where one checkpoint is wanted, the newest of the folder is meant. Nothing here writes into a run.
#ifndef LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_TOOLS_H_
#define LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_TOOLS_H_

#include <ostream>
#include <string>

#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"

namespace lockstep::train {

// One line a checkpoint: step, when, ranks that wrote it, bytes, loss, "best"; reads manifests only. A
// damaged manifest is listed as such. Error: CheckpointError where a path holds no checkpoint.
absl::Status ListCheckpointsAt(FileSystem* fs, absl::Span<const std::string> paths, std::ostream& out);

// Reads every byte of every checkpoint: sizes, CRCs, weights_sha256, state_sha256. One line each.
// Error: CheckpointError (exit code 5) when any is damaged.
absl::Status VerifyCheckpointsAt(FileSystem* fs, absl::Span<const std::string> paths, std::ostream& out);

// What differs from `before` to `after`: the fields of the recipe, the counters, the tensors with the largest
// absolute difference, the hashes. OK whether they differ or not.
absl::Status DiffCheckpointsAt(FileSystem* fs, const std::string& before, const std::string& after,
                               std::ostream& out);

struct ExportOptions {
  std::string file;      // safetensors file to write, atomically
  bool ema = false;      // averaged weights in place of the trained ones, under the parameters' names
  bool buffers = false;  // batch-norm statistics and the like, too
};
absl::Status ExportCheckpoint(FileSystem* fs, const std::string& path, const ExportOptions& options,
                              std::ostream& out);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_TOOLS_H_
