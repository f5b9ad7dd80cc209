// Everything of a run that is numbers: parameters, batch-norm statistics, optimizer state, moving average.
#ifndef LOCKSTEP_RUNTIME_TRAIN_MODEL_STATE_H_
#define LOCKSTEP_RUNTIME_TRAIN_MODEL_STATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/aligned_buffer.h"
#include "runtime/core/status.h"
#include "runtime/graph/parameter_layout.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// One replica's copy. Flat fp32 buffers of one layout, so that an update is a loop over elements; tensors
// have names only where they meet a file. Not thread-safe: the loop's thread and its team share it between
// barriers.
class ModelState {
 public:
  // `moments` names the optimizer's state tensors per parameter, e.g. {"adamw.m", "adamw.v"}; each gets a
  // zeroed flat buffer. With `ema`, a moving average of the parameters is kept too.
  ModelState(std::shared_ptr<const graph::ParameterLayout> parameters, graph::StateLayout states,
             std::vector<std::string> moments, bool ema);

  // The initial values of a run with `seed`; the moving average begins as the parameters.
  void Initialize(uint64_t seed);
  // Overwrites parameters and states by name from a safetensors file (the recipe's init_from); what the file
  // lacks keeps its value. Error: CheckpointError for a file that shares no name, or holds one with another
  // shape.
  absl::Status InitializeFrom(FileSystem* fs, const std::string& path, std::string* summary);
  // Takes every tensor from a checkpoint, except compression's. Error: CheckpointError listing what is
  // missing, too much or different.
  absl::Status Load(const LoadedCheckpoint& checkpoint);

  const graph::ParameterLayout& layout() const { return *layout_; }
  const graph::StateLayout& state_layout() const { return state_layout_; }
  absl::Span<float> parameters() const { return parameters_.span(); }  // flat, padding included
  absl::Span<float> states() const { return states_.span(); }
  absl::Span<float> moment(int i) const { return moments_[i].span(); }
  absl::Span<float> ema() const { return ema_.span(); }  // empty without one

  // Views of all tensors under the names of the files.
  TrainTensors Tensors() const;
  // The same to write into, in one list.
  std::vector<NamedBuffer> Buffers() const;
  size_t size_bytes() const;

 private:
  void AppendParameters(const std::string& prefix, absl::Span<float> flat,
                        std::vector<NamedBuffer>* out) const;
  void AppendStates(std::vector<NamedBuffer>* out) const;

  std::shared_ptr<const graph::ParameterLayout> layout_;
  graph::StateLayout state_layout_;
  std::vector<std::string> moment_names_;
  AlignedBuffer<float> parameters_, states_, ema_;
  std::vector<AlignedBuffer<float>> moments_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_MODEL_STATE_H_
