// The CUDA backend's single entrance. kernels/no_cuda answers for it in builds without CUDA.
#ifndef LOCKSTEP_KERNELS_CUDA_FACTORY_H_
#define LOCKSTEP_KERNELS_CUDA_FACTORY_H_

#include <memory>

#include "kernels/kernel.h"

namespace lockstep::kernels {

absl::StatusOr<std::unique_ptr<Kernel>> MakeCudaKernel(const OpSpec& spec);

}  // namespace lockstep::kernels

#endif  // LOCKSTEP_KERNELS_CUDA_FACTORY_H_
