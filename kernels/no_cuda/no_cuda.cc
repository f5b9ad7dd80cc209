#include "absl/strings/str_cat.h"
#include "kernels/cuda/factory.h"

namespace lockstep::kernels {

absl::StatusOr<std::unique_ptr<Kernel>> MakeCudaKernel(const OpSpec& spec) {
  return absl::UnimplementedError(absl::StrCat(
      NameOf(spec.kind), " on CUDA: there are no CUDA kernels yet; set execution.device to CPU"));
}

}  // namespace lockstep::kernels
