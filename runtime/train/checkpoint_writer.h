// Saves checkpoints in the background while training goes on (what a save does: checkpoint_save.h).
#ifndef LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_WRITER_H_
#define LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <memory>

#include "runtime/train/checkpoint.h"
#include "runtime/train/checkpoint_save.h"
#include "runtime/train/manifest.h"

namespace lockstep::train {

// For one thread (the loop's). One save is under way at a time, over one copy of the state.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(CheckpointWriterOptions options);
  ~CheckpointWriter();  // drains
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Copies the tensors (of a rank that does not commit, those of its shard) and returns; the rest happens in
  // the background. With a team it is a collective, and its error may be the communicator's. Waits first for the save before, if
  // it is still under way (ask busy() to skip instead). `manifest`: files, tensors and the hashes are filled
  // in here, and format_version, wall_time and build_id where empty. `best`: this checkpoint becomes the best
  // one once it is durable. Error: InvalidArgument for names that occur twice; trouble of the disk goes to
  // on_done instead.
  absl::Status Save(Manifest manifest, const TrainTensors& tensors, bool best = false);

  bool busy() const;

  // Waits for the save under way, and returns how the latest save ended; status OK and step -1 when there was
  // none.
  SaveOutcome Wait();
  // The same, but a rank that does not commit gives its share up where it waits for others. To be called when
  // the rank that commits is known to be done.
  SaveOutcome Abandon();

 private:
  class Worker;
  std::unique_ptr<Worker> worker_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_WRITER_H_
