// The update: parameters, moments and moving average of one step, from the reduced gradient. Pure functions
// of state, gradient and step; element-wise, so that how the work is split over threads changes no bit.
#ifndef LOCKSTEP_RUNTIME_TRAIN_OPTIMIZER_H_
#define LOCKSTEP_RUNTIME_TRAIN_OPTIMIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proto/run_config.pb.h"
#include "runtime/graph/parameter_layout.h"
#include "runtime/train/lane_team.h"
#include "runtime/train/model_state.h"
#include "runtime/train/shard_plan.h"

namespace lockstep::train {

// Of the names of the optimizer's state tensors for one parameter: {"sgd.momentum"}, {"adamw.m", "adamw.v"},
// or none.
std::vector<std::string> MomentNames(const OptimizerConfig& config);

// What one step's update depends on besides gradient and state.
struct StepUpdate {
  double gradient_scale = 1;  // of the sum of gradients: the division by the global weight, and clipping
  double lr = 0;
  int64_t updates =
      0;  // that there were before (AdamW's bias correction counts updates, so a skipped step does not)
};

// What of the optimizer's state this rank updates (shard_plan.h).
struct OptimizerShard {
  ElementRanges owned;  // whose squares it also sums
  HeldRanges held;      // these and those that it mirrors
};

// Formulas as torch.optim.SGD and torch.optim.AdamW (kernels/optimizer.h), on g = gradient * gradient_scale.
// The config is resolved (every default filled in). Not thread-safe.
class Optimizer {
 public:
  // `shard`: null for all of it. Copied.
  Optimizer(const OptimizerConfig& config, const EmaConfig* ema, const graph::ParameterLayout& layout,
            const OptimizerShard* shard = nullptr);

  // Euclidean norm of the flat gradient times `scale`: a tree over fixed chunks of each parameter
  // (kernels/optimizer.h), then over the parameters, in double; so it does not depend on threads. Not finite
  // exactly when some element is not, or when a chunk's squares overflow.
  double Norm(LaneTeam& team, const float* gradient, double scale);
  // The same in two steps, where each rank has a shard of the gradient: the sums of the owned chunks, 0 for all
  // others; and the norm, from these sums added over all ranks.
  absl::Span<const double> SumSquares(LaneTeam& team, const float* gradient);
  double NormOf(absl::Span<const double> sums, double scale);
  // Of the gradient that Norm saw last: the parameters (indices of the layout) with elements that are not
  // finite; found by their sums of squares, without another look at the gradient.
  std::vector<int> NonFiniteParameters() const;
  // With `on`, Norm also makes a checksum of the gradient, piece by piece while it is in the cache.
  void KeepChecksum(bool on) { keep_checksum_ = on; }
  uint64_t checksum() const {
    return checksum_;
  }  // of the gradient that Norm saw last; 0 without KeepChecksum

  // The factor that clipping puts on a gradient of norm `norm`: min(1, clip_norm / (norm + 1e-6)), as
  // torch.nn.utils.clip_grad_norm_; 1 without clipping.
  double ClipFactor(double norm) const;

  // Updates everything in `state`.
  void Update(LaneTeam& team, const float* gradient, const StepUpdate& update, ModelState& state);
  // With a shard: of what is held, all that lies in `range`, which cuts no chunk; but not the moving average,
  // which is brought up to date when all parameters are.
  void UpdateRange(LaneTeam& team, const float* gradient, const StepUpdate& update, ElementRange range,
                   ModelState& state);
  void UpdateAverages(LaneTeam& team, ModelState& state) const;

  double base_lr() const;

  static constexpr size_t kChunkElements = size_t{1} << 16;

 private:
  struct Chunk {  // a piece of one parameter
    size_t offset = 0, elements = 0;
    size_t place = 0;      // of its moments, in the buffers that hold them
    size_t first_sum = 0;  // of its norm chunks, in norm_sums_
    bool decay = true;
    bool owned = true;
  };

  void AddChunks(size_t begin, size_t end, const Chunk& like);
  void UpdateChunk(const Chunk& chunk, const float* gradient, const StepUpdate& update,
                   ModelState& state) const;

  const OptimizerConfig config_;
  const bool has_ema_, sharded_;
  const float ema_decay_;
  std::vector<Chunk> chunks_;     // ascending
  std::vector<size_t> sums_end_;  // by parameter: where its norm chunks end in norm_sums_
  std::vector<double> norm_sums_;
  std::vector<double> parameter_sums_;  // of squares, by parameter
  bool keep_checksum_ = false;
  std::vector<uint32_t> chunk_checksums_;  // by chunk
  uint64_t checksum_ = 0;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_OPTIMIZER_H_
