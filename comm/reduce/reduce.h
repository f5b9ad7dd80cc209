// The arithmetic of reductions: element-wise sums (or products, minima, maxima) of several inputs in a fixed
// order. The same bits for any alignment, block size or instruction set: every step is one rounded operation
// per element.
#ifndef LOCKSTEP_COMM_REDUCE_REDUCE_H_
#define LOCKSTEP_COMM_REDUCE_REDUCE_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "comm/communicator.h"
#include "comm/plan/lane_tree.h"
#include "comm/reduce/sum_kernels.h"

namespace lockstep::comm {

// How an output is written: kCached leaves it in the caches for who reads it next; kStreaming goes around
// them, for outputs far larger than the caches.
enum class Stores { kCached, kStreaming };

// A reduction of `inputs` arrays by the additions `steps` (slots as in LanePlan: inputs first), compiled once
// and run on any number of elements. Immutable, so thread-safe.
class ReduceProgram {
 public:
  // `divisor` divides the result (kAvg); 1 otherwise. 16-bit floats are reduced in fp32 and rounded once.
  // With a `wire` other than kFull (F32 only) every input, every sum and the result is rounded to that type.
  ReduceProgram(int inputs, const std::vector<AddStep>& steps, ReduceOp op, DType dtype, int divisor = 1,
                Wire wire = Wire::kFull);

  // out[i] = the expression over inputs[0][i] .. for i < count. `out` may be one of the inputs. Runs in the
  // modes of LaneArithmetic (runtime/core/thread.h). Streaming stores are complete (fenced) on return.
  void Run(const void* const* inputs, void* out, size_t count, Stores stores = Stores::kCached) const;

  int inputs() const { return inputs_; }

 private:
  template <typename T, typename Acc>
  void RunBlocks(const void* const* inputs, void* out, size_t count, Stores stores) const;
  template <typename T>
  bool Rounds() const {
    return std::is_same_v<T, float> && wire_ != Wire::kFull;
  }
  template <typename T>
  void Round(const T* in, T* out, size_t n) const {
    if constexpr (std::is_same_v<T, float>) RoundTo(wire_, in, out, n);
  }
  bool RunWhole(const void* const* inputs, void* out, size_t count, Stores stores) const;

  int inputs_;
  ReduceOp op_;
  DType dtype_;
  int divisor_;
  Wire wire_;
  bool balanced_;  // the steps are BalancedSteps(inputs)
  int scratch_blocks_ = 0;
  std::vector<SumStep> steps_;  // on scratch blocks
};

// values[i] = in[i] rounded to the wire's type and back, to nearest even; NaN stays NaN. May be in place.
void RoundTo(Wire wire, const float* in, float* out, size_t count);
// The same as 16-bit values, as they travel, and back. Not kFull.
void PackTo(Wire wire, const float* in, uint16_t* out, size_t count);
void UnpackFrom(Wire wire, const uint16_t* in, float* out, size_t count);

// memcpy, optionally around the caches. The ranges do not overlap, or are the same.
void CopyBytes(void* to, const void* from, size_t size_bytes, Stores stores = Stores::kCached);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_REDUCE_REDUCE_H_
