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
#include "runtime/train/shard_plan.h"
#include "runtime/train/shard_transfer.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// One replica's copy. Flat fp32 buffers of one layout, so that an update is a loop over elements; tensors
// have names only where they meet a file. Not thread-safe: the loop's thread and its team share it between
// barriers.
//
// Of the optimizer's moments a rank holds everything, or (execution.optimizer_state: SHARDED) some ranges, one
// after another in compact buffers. Parameters, states and the moving average are whole on every rank: the
// average is what every rank validates with.
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
  // Takes every tensor from a checkpoint, except compression's; moments only where they are whole here. Error:
  // CheckpointError listing what is missing, too much or different, also of moments.
  absl::Status Load(const LoadedCheckpoint& checkpoint);
  // Moment `i` of a checkpoint that Load has taken, as a flat array, zero in padding. Views of the checkpoint.
  ReadRange MomentReader(const LoadedCheckpoint& checkpoint, int i) const;

  // From now on this rank holds these ranges of the moments, zeroed.
  void HoldShard(HeldRanges held);
  // The same with their values: one buffer a moment, of held.elements() each.
  void HoldShard(HeldRanges held, std::vector<AlignedBuffer<float>> moments);
  bool sharded() const { return sharded_; }
  const HeldRanges& held() const { return held_; }  // one range of everything where it is not sharded

  const graph::ParameterLayout& layout() const { return *layout_; }
  const graph::StateLayout& state_layout() const { return state_layout_; }
  absl::Span<float> parameters() const { return parameters_.span(); }  // flat, padding included
  absl::Span<float> states() const { return states_.span(); }
  absl::Span<float> moment(int i) const { return moments_[i].span(); }  // as held() says
  int moments() const { return static_cast<int>(moments_.size()); }
  absl::Span<float> ema() const { return ema_.span(); }  // empty without one

  // The end of a step: its side results, summed over that many micro-batches, join the states as their mean.
  void AddStateDeltas(const float* sums, int micro_batches);

  // Views of all tensors under the names of the files. Moments that are not whole here have no data.
  TrainTensors Tensors() const;
  // What is whole here, to write into, in one list.
  std::vector<NamedBuffer> Buffers() const;
  // Of these, batch-norm statistics and moving average.
  std::vector<NamedBuffer> StatesAndAverage() const;
  // Of moments, these ranges, which are held: in this order, one moment after the other.
  std::vector<NamedBuffer> MomentPieces(const ElementRanges& ranges) const;
  // "adamw.m.<parameter>"
  std::string MomentName(int i, const graph::ParameterLayout::Entry& entry) const;
  size_t size_bytes() const;  // of the whole state of a run, whoever holds it

 private:
  void AppendParameters(const std::string& prefix, absl::Span<float> flat,
                        std::vector<NamedBuffer>* out) const;
  void AppendStates(std::vector<NamedBuffer>* out) const;
  void AppendMoments(std::vector<NamedBuffer>* out) const;

  std::shared_ptr<const graph::ParameterLayout> layout_;
  graph::StateLayout state_layout_;
  std::vector<std::string> moment_names_;
  bool sharded_ = false;
  HeldRanges held_;
  AlignedBuffer<float> parameters_, states_, ema_;
  std::vector<AlignedBuffer<float>> moments_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_MODEL_STATE_H_
