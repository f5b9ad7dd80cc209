// Saves checkpoints in the background while training goes on.
//
// A save: files are written and synced in .tmp-step-N, that folder is synced, renamed to step-N, and the
// parent is synced; only then `best` moves and old checkpoints are pruned. So at every moment of a crash or
// power cut either the new checkpoint is complete or the one before it is the newest.
#ifndef LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_WRITER_H_
#define LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/file_system.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/manifest.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// How one save ended.
struct SaveOutcome {
  int64_t step = 0;
  absl::Status status;        // not OK: a CheckpointError with the disk's reason; older checkpoints are whole
  absl::Status after_commit;  // not OK: the checkpoint is safe, but `best` or pruning failed
  std::string path;
  StateHashes hashes;       // filled in even where the disk failed
  uint64_t size_bytes = 0;  // of the tensor files
  double seconds = 0;       // in the background
};

struct CheckpointWriterOptions {
  FileSystem* fs = nullptr;
  std::string folder;  // RUN/checkpoints; made when missing
  int keep_last = 3;   // >= 1; the best one is kept besides
  // Called on the background thread after each save, also the failed ones.
  std::function<void(const SaveOutcome&)> on_done;
  // Called on the background thread when the files are durable and before the checkpoint becomes visible;
  // makes durable what a checkpoint must never run ahead of (metrics, ledger). An error fails the save.
  std::function<absl::Status(int64_t step)> before_commit;
  CopyFunction copy;  // how tensors get to host memory; memcpy unless given
};

// For one thread (the loop's). One save is under way at a time, over one copy of the state.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(CheckpointWriterOptions options);
  ~CheckpointWriter();  // drains
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Copies the tensors and returns; the rest happens in the background. Waits first for the save before, if
  // it is still under way (ask busy() to skip instead). `manifest`: files, tensors and the hashes are filled
  // in here, and format_version, wall_time and build_id where empty. `best`: this checkpoint becomes the best
  // one once it is durable. Error: InvalidArgument for names that occur twice; trouble of the disk goes to
  // on_done instead.
  absl::Status Save(Manifest manifest, const TrainTensors& tensors, bool best = false);

  bool busy() const;

  // Waits for the save under way, and returns how the latest save ended; status OK and step -1 when there was
  // none.
  SaveOutcome Wait();

 private:
  class Worker;
  std::unique_ptr<Worker> worker_;
};

// One save, in the calling thread: what the writer's thread does. `manifest` as in Save.
SaveOutcome SaveCheckpoint(const CheckpointWriterOptions& options, Manifest manifest,
                           const TrainTensors& tensors, bool best);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_WRITER_H_
