#include "absl/strings/str_cat.h"
#include "kernels/cuda/factory.h"

namespace lockstep::kernels {

absl::StatusOr<std::unique_ptr<Kernel>> MakeCudaKernel(const OpSpec& spec) {
  return absl::UnimplementedError(
      absl::StrCat(NameOf(spec.kind),
                   " on CUDA: this build has no CUDA kernels; configure with -DLOCKSTEP_CUDA=ON"
                   " (cmake --preset cuda), or set execution.device to CPU"));
}

}  // namespace lockstep::kernels
