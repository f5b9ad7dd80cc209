// Vector sums in the shapes that training meets: 2, 4 and 8 inputs as balanced trees.
#ifndef LOCKSTEP_COMM_REDUCE_SUM_KERNELS_H_
#define LOCKSTEP_COMM_REDUCE_SUM_KERNELS_H_

#include <cstddef>

namespace lockstep::comm {

// out[i] = the balanced tree's sum over in[0][i] .. in[inputs - 1][i]; `inputs` is 2, 4 or 8. `out` may be an
// input. `stream` writes around the caches; call FenceStreams before anyone else may read.
void SumBalanced(const float* const* in, int inputs, float* out, size_t count, bool stream);
void SumBalanced(const double* const* in, int inputs, double* out, size_t count, bool stream);
// Plain vector stores. memcpy is slower here: the C library moves a few KiB and more with string instructions
// or around the caches, which is wrong for data that another core has just written or is about to read.
void CachedCopy(void* to, const void* from, size_t size_bytes);
void StreamCopy(void* to, const void* from, size_t size_bytes);
void FenceStreams();

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_REDUCE_SUM_KERNELS_H_
