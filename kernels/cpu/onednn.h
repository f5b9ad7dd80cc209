// oneDNN behind an interface of our own: the only place that includes it, and that knows its versions 2.x
// and 3.x apart.
//
// One thread (PrepareLaneThread), user-mode scratchpads, primitives compiled once. What oneDNN itself
// allocates in a run: Gemm keeps its packing buffer inside (a malloc and free a call), and a primitive makes
// small bookkeeping objects. Results depend on shapes and instruction set alone, not on addresses.
#ifndef LOCKSTEP_KERNELS_CPU_ONEDNN_H_
#define LOCKSTEP_KERNELS_CPU_ONEDNN_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/ops.h"
#include "runtime/core/status.h"

namespace lockstep::kernels::onednn {

// c [m, n] = alpha a b + beta c, all row-major; a is [m, k] (transpose_a: [k, m]), b [k, n] (transpose_b: [n,
// k]); the strides are between rows, in elements.
struct GemmShape {
  bool transpose_a = false, transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
};
void Gemm(const GemmShape& shape, float alpha, const float* a, int64_t a_stride, const float* b,
          int64_t b_stride, float beta, float* c, int64_t c_stride);

// y [m, n] = x [m, k] w, for contiguous x and y, with w [k, n] (transpose_w: [n, k]) as it is or packed
// beforehand into the layout that oneDNN likes best, which pays when w meets many blocks of rows.
class MatMul {
 public:
  static absl::StatusOr<MatMul> Make(int64_t m, int64_t n, int64_t k, bool transpose_w, bool packed);

  size_t scratch_bytes() const;
  size_t packed_bytes() const;  // of a packed w
  void Pack(const float* w, void* packed) const;
  void Run(const float* x, const void* w, float* y, std::byte* scratch) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

enum class ConvolutionPass : uint8_t { kForward, kInputGrad, kWeightGrad };

struct ConvolutionShape {
  Shape x, w, y;  // NHWC, OIHW, NHWC
  Window2d window;
  int64_t groups = 1;
  bool bias = false;
};

// One pass of a convolution over plain NHWC images and OIHW weights; weights are repacked in scratch within
// Run.
class Convolution {
 public:
  static absl::StatusOr<Convolution> Make(ConvolutionPass pass, const ConvolutionShape& shape);

  // The implementation that oneDNN chose, e.g. "brgconv:avx512_core".
  const char* implementation() const;
  size_t scratch_bytes() const;
  // kForward reads x, w, b and writes y; kInputGrad reads y (dy), w and writes x (dx); kWeightGrad reads x, y
  // (dy) and writes w (dw) and b (db). b is null without a bias.
  void Run(float* x, float* w, float* b, float* y, std::byte* scratch) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace lockstep::kernels::onednn

#endif  // LOCKSTEP_KERNELS_CPU_ONEDNN_H_
