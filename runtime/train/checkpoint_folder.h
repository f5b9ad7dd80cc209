// The folder RUN/checkpoints: names, which steps it holds, which is the best, and what may be deleted.
//
//   step-00000100/           a complete checkpoint (checkpoint.h)
//   best                     one line, the name of the best checkpoint's folder; replaced atomically
//   .tmp-step-00000100/      one being written or deleted; a leftover of a crash is removed at the next start
//   .tmp-step-00000100.0123456789abcdef/  one that several ranks write; the end is its save's id, so that a
//                            rank that wakes up late cannot write into the folder of another save
//   .replaced-step-00000100/ one that a new checkpoint of the same step takes the place of, for a moment
//   set-aside-step-00000100/ one that a resume passed over, kept for its owner to look at
// Nothing that does not bear one of these names is ever touched.
#ifndef LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_FOLDER_H_
#define LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_FOLDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"

namespace lockstep::train {

std::string CheckpointName(int64_t step);                      // "step-00000100"
std::optional<int64_t> StepOfName(absl::string_view name);     // the inverse; nothing for other names
std::string CheckpointsFolder(const std::string& run_folder);  // RUN/checkpoints
std::string CheckpointPath(const std::string& checkpoints_folder, int64_t step);
std::string TemporaryPath(const std::string& checkpoints_folder, int64_t step,
                          absl::string_view save_id = "");
std::string ReplacedPath(const std::string& checkpoints_folder, int64_t step);

// Steps of the folders that bear a checkpoint's name, ascending; empty where the folder is missing.
absl::StatusOr<std::vector<int64_t>> ListCheckpointFolders(FileSystem* fs,
                                                           const std::string& checkpoints_folder);

// Of those, the ones that hold a manifest, ascending; empty where the folder
// is missing.
absl::StatusOr<std::vector<int64_t>> ListCheckpoints(FileSystem* fs, const std::string& checkpoints_folder);

// The step that `best` names. NotFound where there is none; CheckpointError where the file is malformed.
absl::StatusOr<int64_t> ReadBest(FileSystem* fs, const std::string& checkpoints_folder);
absl::Status WriteBest(FileSystem* fs, const std::string& checkpoints_folder, int64_t step);

// Finishes what a crash interrupted: removes half-written and half-deleted checkpoints. To be called by the
// owner of the run's lock only.
absl::Status RemoveLeftovers(FileSystem* fs, const std::string& checkpoints_folder);

// Deletes what a save of `step` has written so far.
absl::Status DeleteTemporary(FileSystem* fs, const std::string& checkpoints_folder, int64_t step,
                             absl::string_view save_id = "");

// Renames checkpoints of steps after `step` to set-aside-..., as a resume from `step` must, or the next
// resume would continue a future that this one is about to rewrite. Returns the new paths.
absl::StatusOr<std::vector<std::string>> SetAsideAfter(FileSystem* fs, const std::string& checkpoints_folder,
                                                       int64_t step);

// Deletes one: it loses its name first, so that a half-deleted checkpoint is none, then the manifest goes,
// then the rest. Files that Lockstep did not put there stay, in .tmp-step-N.
absl::Status DeleteCheckpoint(FileSystem* fs, const std::string& checkpoints_folder, int64_t step);

// Deletes all but the `keep_last` (>= 1) newest checkpoints, those of steps that are multiples of
// `keep_every_steps` (> 0), the best, and `just_written`. Returns the steps deleted.
absl::StatusOr<std::vector<int64_t>> Prune(FileSystem* fs, const std::string& checkpoints_folder,
                                           int keep_last, int64_t just_written, int64_t keep_every_steps = 0);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_FOLDER_H_
