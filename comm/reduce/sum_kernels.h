// Vector sums: 2, 4 and 8 inputs as balanced trees, which is what training meets most, and any other order.
#ifndef LOCKSTEP_COMM_REDUCE_SUM_KERNELS_H_
#define LOCKSTEP_COMM_REDUCE_SUM_KERNELS_H_

#include <cstddef>

#include "absl/types/span.h"

namespace lockstep::comm {

// out[i] = the balanced tree's sum over in[0][i] .. in[inputs - 1][i]; `inputs` is 2, 4 or 8. `out` may be an
// input. `stream` writes around the caches; call FenceStreams before anyone else may read.
void SumBalanced(const float* const* in, int inputs, float* out, size_t count, bool stream);
void SumBalanced(const double* const* in, int inputs, double* out, size_t count, bool stream);

// One addition: operands are inputs i >= 0, or the scratch place ~i of an earlier sum; so is `to`, but of the
// last step, whose sum is the output.
struct SumStep {
  int left, right, to;
};
inline constexpr int kSumScratchPlaces = 16, kSumMostSteps = 128;

// out[i] = the last step's sum, in one pass over all inputs. 1 to kSumMostSteps steps; `out` and `stream` as above.
// Inputs are read side by side by short groups: going through a page of one before the next costs a third of
// the memory's speed, since the processor looks ahead within a page only.
void SumInOrder(const float* const* in, absl::Span<const SumStep> steps, float* out, size_t count,
                bool stream);
void SumInOrder(const double* const* in, absl::Span<const SumStep> steps, double* out, size_t count,
                bool stream);

// Plain vector stores. memcpy is slower here: the C library moves a few KiB and more with string instructions
// or around the caches, which is wrong for data that another core has just written or is about to read.
void CachedCopy(void* to, const void* from, size_t size_bytes);
void StreamCopy(void* to, const void* from, size_t size_bytes);
void FenceStreams();

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_REDUCE_SUM_KERNELS_H_
