// Sums over rows and columns, shared by ReduceSum and by the bias gradient of linear layers.
//
// fp32 inside blocks of 64 elements of the summed dimension, double between blocks; the order depends on the
// shape alone.
#ifndef LOCKSTEP_KERNELS_CPU_REDUCE_H_
#define LOCKSTEP_KERNELS_CPU_REDUCE_H_

#include <cstddef>
#include <cstdint>

namespace lockstep::kernels::cpu {

// out[c] = (accumulate ? out[c] : 0) + scale * sum over r of x[r, c].
class ColumnSums {
 public:
  ColumnSums(int64_t rows, int64_t columns) : rows_(rows), columns_(columns) {}
  size_t scratch_bytes() const;
  void Run(const float* x, float scale, bool accumulate, float* out, std::byte* scratch) const;

 private:
  int64_t rows_, columns_;
};

double SumOf(const float* x, int64_t count);

}  // namespace lockstep::kernels::cpu

#endif  // LOCKSTEP_KERNELS_CPU_REDUCE_H_
