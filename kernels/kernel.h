// A kernel: one operator with fixed shapes on one device, ready to run.
#ifndef LOCKSTEP_KERNELS_KERNEL_H_
#define LOCKSTEP_KERNELS_KERNEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "kernels/ops.h"
#include "runtime/core/status.h"

namespace lockstep::kernels {

enum class Device : uint8_t { kCpu, kCuda };

// What a run knows beyond its tensors. Only kDropout reads it.
struct RunContext {
  uint64_t dropout_key = 0;  // of the step: DeriveKey(seed, "dropout"), or any key the recipe fixes
  absl::Span<const int64_t> positions;  // global position of each sample of the micro-batch, in batch order
};

struct KernelArgs {
  absl::Span<const void* const> inputs;  // as OpSpec::inputs; each 64-byte aligned
  absl::Span<void* const> outputs;       // as OpSpec::outputs; each 64-byte aligned
  std::byte* scratch =
      nullptr;              // scratch_bytes() of them, 64-byte aligned, contents undefined before and after
  bool accumulate = false;  // outputs += instead of =, where ops.h says that the op honours it
  const RunContext* context = nullptr;  // needed by programs with dropout, else may be null
};

// Immutable. Run may be called from several threads at once with different outputs and scratch; it uses the
// calling thread alone (PrepareLaneThread must have run on it), allocates nothing and cannot fail: everything
// that can be wrong is found by MakeKernel, and bad labels or ids are counted in an output. The same inputs
// give the same bits on one instruction set, whatever the addresses. An input and an output overlap only as
// InPlaceInputs allows, and two outputs never. Exception to "allocates nothing": oneDNN's sgemm keeps its
// packing buffer inside (docs in cpu/onednn.h).
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual size_t scratch_bytes() const = 0;
  virtual void Run(const KernelArgs& args) const = 0;
};

// Compiles `spec` for `device`. Errors: InvalidArgument naming the operator and the shapes that do not fit
// its contract in ops.h; Unimplemented naming the operator and what to build with, where the device lacks it.
absl::StatusOr<std::unique_ptr<Kernel>> MakeKernel(Device device, const OpSpec& spec);

}  // namespace lockstep::kernels

#endif  // LOCKSTEP_KERNELS_KERNEL_H_
