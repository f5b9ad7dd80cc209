// The CPU's kernels by operator. Each is called with a spec that InferOutputs has already checked, outputs
// included.
#ifndef LOCKSTEP_KERNELS_CPU_FACTORIES_H_
#define LOCKSTEP_KERNELS_CPU_FACTORIES_H_

#include "kernels/cpu/function_kernel.h"

namespace lockstep::kernels::cpu {

KernelOr MakeElementwise(const OpSpec& spec);
KernelOr MakeMatMul(const OpSpec& spec);
KernelOr MakeLinear(const OpSpec& spec);  // and the input gradient
KernelOr MakeLinearWeightGrad(const OpSpec& spec);
KernelOr MakeConv2d(const OpSpec& spec);
KernelOr MakeConv2dInputGrad(const OpSpec& spec);
KernelOr MakeConv2dWeightGrad(const OpSpec& spec);
KernelOr MakeMaxPool2d(const OpSpec& spec);
KernelOr MakeMaxPool2dGrad(const OpSpec& spec);
KernelOr MakeAvgPool2d(const OpSpec& spec);
KernelOr MakeAvgPool2dGrad(const OpSpec& spec);
KernelOr MakeReduceSum(const OpSpec& spec);
KernelOr MakeBroadcast(const OpSpec& spec);
KernelOr MakeBatchNorm(const OpSpec& spec);
KernelOr MakeBatchNormGrad(const OpSpec& spec);
KernelOr MakeBatchNormInference(const OpSpec& spec);
KernelOr MakeLayerNorm(const OpSpec& spec);
KernelOr MakeLayerNormGrad(const OpSpec& spec);
KernelOr MakeSoftmax(const OpSpec& spec);
KernelOr MakeSoftmaxGrad(const OpSpec& spec);
KernelOr MakeEmbedding(const OpSpec& spec);
KernelOr MakeEmbeddingGrad(const OpSpec& spec);
KernelOr MakeAttention(const OpSpec& spec);
KernelOr MakeAttentionGrad(const OpSpec& spec);
KernelOr MakeRotary(const OpSpec& spec);
KernelOr MakeTranspose(const OpSpec& spec);
KernelOr MakeConcat(const OpSpec& spec);
KernelOr MakeSlice(const OpSpec& spec);
KernelOr MakeSliceGrad(const OpSpec& spec);
KernelOr MakeCrossEntropy(const OpSpec& spec);
KernelOr MakeCrossEntropyGrad(const OpSpec& spec);
KernelOr MakeMeanSquaredError(const OpSpec& spec);
KernelOr MakeMeanSquaredErrorGrad(const OpSpec& spec);
KernelOr MakeAccuracy(const OpSpec& spec);

}  // namespace lockstep::kernels::cpu

#endif  // LOCKSTEP_KERNELS_CPU_FACTORIES_H_
