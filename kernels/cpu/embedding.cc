#include <cstring>

#include "kernels/cpu/factories.h"
#include "kernels/cpu/ids.h"
#include "kernels/cpu/tile_ops.h"

namespace lockstep::kernels::cpu {

KernelOr MakeEmbedding(const OpSpec& spec) {
  const DType dtype = spec.inputs[0].dtype;
  const int64_t count = spec.inputs[0].shape.NumElements(), rows = spec.inputs[1].shape[0],
                width = spec.inputs[1].shape[1];
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    InvalidCounter invalid(Out<int64_t>(args, 1));
    const size_t row_bytes = width * sizeof(float);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t id = IdAt(args.inputs[0], dtype, i);
      float* y = Out(args, 0) + i * width;
      if (id >= 0 && id < rows) {
        std::memcpy(y, In(args, 1) + id * width, row_bytes);
      } else {
        std::memset(y, 0, row_bytes);
        invalid.Count(i);
      }
    }
  });
}

KernelOr MakeEmbeddingGrad(const OpSpec& spec) {
  const DType dtype = spec.inputs[1].dtype;
  const int64_t count = spec.inputs[1].shape.NumElements(), width = spec.outputs[0].shape[1];
  const int64_t rows = spec.outputs[0].shape[0];
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    float* table = Out(args, 0);
    if (!args.accumulate) std::memset(table, 0, rows * width * sizeof(float));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t id = IdAt(args.inputs[1], dtype, i);
      if (id >= 0 && id < rows) AddTile(In(args, 0) + i * width, table + id * width, width);
    }
  });
}

}  // namespace lockstep::kernels::cpu
