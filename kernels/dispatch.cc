// The one table from operators to kernels.
#include "absl/strings/str_cat.h"
#include "kernels/cpu/factories.h"
#include "kernels/cuda/factory.h"
#include "kernels/kernel.h"
#include "runtime/core/thread.h"

namespace lockstep::kernels {
namespace {

cpu::KernelOr MakeCpuKernel(const OpSpec& spec) {
  const SingleThreadedOpenMp one;
  switch (spec.kind) {
    case OpKind::kElementwise:
      return cpu::MakeElementwise(spec);
    case OpKind::kMatMul:
      return cpu::MakeMatMul(spec);
    case OpKind::kLinear:
    case OpKind::kLinearInputGrad:
      return cpu::MakeLinear(spec);
    case OpKind::kLinearWeightGrad:
      return cpu::MakeLinearWeightGrad(spec);
    case OpKind::kConv2d:
      return cpu::MakeConv2d(spec);
    case OpKind::kConv2dInputGrad:
      return cpu::MakeConv2dInputGrad(spec);
    case OpKind::kConv2dWeightGrad:
      return cpu::MakeConv2dWeightGrad(spec);
    case OpKind::kMaxPool2d:
      return cpu::MakeMaxPool2d(spec);
    case OpKind::kMaxPool2dGrad:
      return cpu::MakeMaxPool2dGrad(spec);
    case OpKind::kAvgPool2d:
      return cpu::MakeAvgPool2d(spec);
    case OpKind::kAvgPool2dGrad:
      return cpu::MakeAvgPool2dGrad(spec);
    case OpKind::kReduceSum:
      return cpu::MakeReduceSum(spec);
    case OpKind::kBroadcast:
      return cpu::MakeBroadcast(spec);
    case OpKind::kBatchNorm:
      return cpu::MakeBatchNorm(spec);
    case OpKind::kBatchNormGrad:
      return cpu::MakeBatchNormGrad(spec);
    case OpKind::kBatchNormInference:
      return cpu::MakeBatchNormInference(spec);
    case OpKind::kLayerNorm:
      return cpu::MakeLayerNorm(spec);
    case OpKind::kLayerNormGrad:
      return cpu::MakeLayerNormGrad(spec);
    case OpKind::kSoftmax:
      return cpu::MakeSoftmax(spec);
    case OpKind::kSoftmaxGrad:
      return cpu::MakeSoftmaxGrad(spec);
    case OpKind::kEmbedding:
      return cpu::MakeEmbedding(spec);
    case OpKind::kEmbeddingGrad:
      return cpu::MakeEmbeddingGrad(spec);
    case OpKind::kAttention:
      return cpu::MakeAttention(spec);
    case OpKind::kAttentionGrad:
      return cpu::MakeAttentionGrad(spec);
    case OpKind::kRotary:
      return cpu::MakeRotary(spec);
    case OpKind::kTranspose:
      return cpu::MakeTranspose(spec);
    case OpKind::kConcat:
      return cpu::MakeConcat(spec);
    case OpKind::kSlice:
      return cpu::MakeSlice(spec);
    case OpKind::kSliceGrad:
      return cpu::MakeSliceGrad(spec);
    case OpKind::kCrossEntropy:
      return cpu::MakeCrossEntropy(spec);
    case OpKind::kCrossEntropyGrad:
      return cpu::MakeCrossEntropyGrad(spec);
    case OpKind::kMeanSquaredError:
      return cpu::MakeMeanSquaredError(spec);
    case OpKind::kMeanSquaredErrorGrad:
      return cpu::MakeMeanSquaredErrorGrad(spec);
    case OpKind::kAccuracy:
      return cpu::MakeAccuracy(spec);
  }
  return absl::UnimplementedError(absl::StrCat(NameOf(spec.kind), " has no CPU kernel"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Kernel>> MakeKernel(Device device, const OpSpec& spec) {
  ASSIGN_OR_RETURN(const std::vector<TensorType> outputs, InferOutputs(spec));
  if (outputs != spec.outputs) {
    OpSpec wanted = spec;
    wanted.outputs = outputs;
    return absl::InvalidArgumentError(
        absl::StrCat(spec.ToString(), ": the outputs should be as in ", wanted.ToString()));
  }
  return device == Device::kCpu ? MakeCpuKernel(spec) : MakeCudaKernel(spec);
}

}  // namespace lockstep::kernels
