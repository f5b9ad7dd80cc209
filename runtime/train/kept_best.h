// The best checkpoint so far, until it is safe: a copy of its state on a rank that goes on should the writer
// die while it writes. Any other checkpoint is as good as the next one; the best is not.
#ifndef LOCKSTEP_RUNTIME_TRAIN_KEPT_BEST_H_
#define LOCKSTEP_RUNTIME_TRAIN_KEPT_BEST_H_

#include <cstdint>
#include <functional>

#include "runtime/train/checkpoint.h"
#include "runtime/train/checkpoint_save.h"
#include "runtime/train/manifest.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// Not thread-safe. Holds one state; its memory is used again.
class KeptBest {
 public:
  // Copies the tensors, in place of what was kept before.
  void Keep(const Manifest& manifest, const TrainTensors& tensors);
  int64_t step() const { return step_; }  // of what is kept; -1: nothing
  void Forget() { step_ = -1; }

  // Writes it, as the only writer, and marks it as the best. Blocks; `while_waiting` is called now and then.
  // After Keep.
  SaveOutcome Write(CheckpointWriterOptions options) const;

 private:
  int64_t step_ = -1;
  Manifest manifest_;
  TensorStore copies_[4];
  TrainTensors tensors_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_KEPT_BEST_H_
