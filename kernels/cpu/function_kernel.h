// How the CPU's kernels are put together: a function of KernelArgs and the scratch that it wants.
#ifndef LOCKSTEP_KERNELS_CPU_FUNCTION_KERNEL_H_
#define LOCKSTEP_KERNELS_CPU_FUNCTION_KERNEL_H_

#include <memory>
#include <utility>

#include "kernels/kernel.h"
#include "runtime/core/aligned_buffer.h"

namespace lockstep::kernels::cpu {

using KernelOr = absl::StatusOr<std::unique_ptr<Kernel>>;

template <typename Function>
class FunctionKernel final : public Kernel {
 public:
  FunctionKernel(size_t scratch_bytes, Function run) : scratch_bytes_(scratch_bytes), run_(std::move(run)) {}
  size_t scratch_bytes() const override { return scratch_bytes_; }
  void Run(const KernelArgs& args) const override { run_(args); }

 private:
  size_t scratch_bytes_;
  Function run_;
};

// `run` is called as run(const KernelArgs&), from several threads at once; it must hold its values, not refer
// to them.
template <typename Function>
KernelOr MakeFunctionKernel(size_t scratch_bytes, Function run) {
  return std::unique_ptr<Kernel>(new FunctionKernel<Function>(scratch_bytes, std::move(run)));
}

template <typename T = float>
const T* In(const KernelArgs& args, int i) {
  return static_cast<const T*>(args.inputs[i]);
}

template <typename T = float>
T* Out(const KernelArgs& args, int i) {
  return static_cast<T*>(args.outputs[i]);
}

// Hands out parts of a scratch area: first as offsets while a kernel is made, later as pointers.
class ScratchPlan {
 public:
  size_t TakeBytes(size_t bytes) {
    const size_t offset = bytes_;
    bytes_ += RoundUp(bytes, kAlignmentBytes);
    return offset;
  }
  template <typename T = float>
  size_t Take(size_t count) {
    return TakeBytes(count * sizeof(T));
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

template <typename T = float>
T* At(const KernelArgs& args, size_t offset) {
  return reinterpret_cast<T*>(args.scratch + offset);
}

// Rows and columns of a tensor whose dimensions but the last are taken together.
inline int64_t Columns(const Shape& shape) { return shape.rank() == 0 ? 1 : shape[-1]; }
inline int64_t Rows(const Shape& shape) { return shape.rank() == 0 ? 1 : shape.Product(0, shape.rank() - 1); }

}  // namespace lockstep::kernels::cpu

#endif  // LOCKSTEP_KERNELS_CPU_FUNCTION_KERNEL_H_
