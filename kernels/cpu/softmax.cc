#include "kernels/cpu/factories.h"
#include "kernels/cpu/rows.h"

namespace lockstep::kernels::cpu {

KernelOr MakeSoftmax(const OpSpec& spec) {
  const int64_t rows = Rows(spec.inputs[0].shape), columns = Columns(spec.inputs[0].shape);
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    for (int64_t r = 0; r < rows; ++r) {
      const float* x = In(args, 0) + r * columns;
      float* y = Out(args, 0) + r * columns;
      const double sum = ExpRow(x, MaxOf(x, columns), 1, y, columns);
      ScaleRow(y, static_cast<float>(1 / sum), columns);
    }
  });
}

KernelOr MakeSoftmaxGrad(const OpSpec& spec) {
  const int64_t rows = Rows(spec.inputs[0].shape), columns = Columns(spec.inputs[0].shape);
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    for (int64_t r = 0; r < rows; ++r) {
      const float *y = In(args, 0) + r * columns, *dy = In(args, 1) + r * columns;
      ProbabilityGradRow(y, dy, static_cast<float>(Dot(y, dy, columns)), 1, Out(args, 0) + r * columns,
                         columns);
    }
  });
}

}  // namespace lockstep::kernels::cpu
