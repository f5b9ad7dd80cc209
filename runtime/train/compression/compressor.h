// Reductions that send less than the gradient and remember what they left out (error feedback).
//
// With g_w the sum of rank w's lane gradients and e_w its error memory, zero at first, a step is
//   M_w = g_w + e_w;   rank w sends C(M_w);   result = sum over w of C(M_w);   e_w = M_w - C(M_w)
// so nothing is lost, only late: the sum of all results and of the memories is the sum of all gradients. As
// everywhere, gradients are sums over lanes; the division by the step's weight comes after. The result has
// the same bits on every rank; it depends on the number of ranks, on their threads as UNORDERED sums do,
// and on nothing else.
#ifndef LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_COMPRESSOR_H_
#define LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_COMPRESSOR_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "comm/communicator.h"
#include "proto/run_config.pb.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/status.h"
#include "runtime/graph/parameter_layout.h"
#include "runtime/train/compression/gradient_parts.h"
#include "runtime/train/lane_team.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// For the loop's thread.
class Compressor {
 public:
  virtual ~Compressor() = default;

  // A collective. `gradient` [layout and tail] is this rank's sum in, the approximate sum over ranks out. The
  // tail and the parameters that are no matrices are summed exactly. Where a gradient of any rank is not
  // finite, so is the result, and memories keep their state of before (the loop skips the step or stops).
  virtual absl::Status Reduce(comm::Communicator& communicator, LaneTeam& team, float* gradient) = 0;

  // For people: "PowerSGD of rank 4: 25 of 52 tensors as ...".
  virtual std::string Describe() const = 0;

  // What a checkpoint needs besides: this rank's error memory (the matrices of parts() one after another) and
  // tensors that are equal on all ranks. Views, to read and to overwrite.
  absl::Span<float> memory() const { return memory_.span(); }
  virtual std::vector<NamedBuffer> SharedState() const { return {}; }
  const GradientParts& parts() const { return parts_; }

 protected:
  explicit Compressor(GradientParts parts)
      : parts_(std::move(parts)), memory_(static_cast<size_t>(parts_.matrix_elements)) {}

  float* memory_of(const GradientMatrix& matrix) const { return memory_.data() + matrix.memory_offset; }
  // Tells the loop, which looks at the gradient's norm, that this step's gradient is of no use.
  void SpoilGradient(float* gradient) const;

  const GradientParts parts_;

 private:
  const AlignedBuffer<float> memory_;
};

// The one that the recipe asks for; null when it asks for none (or for a 16-bit wire, which is the
// communicator's work). `seed` is the run's. Allocates the error memory and the buffers of the exchange.
absl::StatusOr<std::unique_ptr<Compressor>> MakeCompressor(const CompressionConfig& config,
                                                           const graph::ParameterLayout& layout,
                                                           int64_t tail_elements, uint64_t seed,
                                                           comm::Communicator& communicator);

// The wire that the recipe asks for.
comm::Wire WireOf(const CompressionConfig& config);

// Runs work(item) for items 0 .. count-1 on the team's members; whoever is free takes the next.
template <typename Work>
void ForEachItem(LaneTeam& team, size_t count, const Work& work) {
  std::atomic<size_t> next{0};
  team.Run([&](int) {
    for (size_t item = next.fetch_add(1); item < count; item = next.fetch_add(1)) work(item);
  });
}

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_COMPRESSOR_H_
