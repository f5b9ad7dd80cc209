// Convolutions: oneDNN over channels-last images. On an AVX-512 core that is within 3 % of its blocked layout
// (nChw16c) for ResNet's shapes, forward and backward, and spares every reorder between operators.
#include "kernels/cpu/factories.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/tile_ops.h"

namespace lockstep::kernels::cpu {
namespace {

using onednn::Convolution;
using onednn::ConvolutionPass;

onednn::ConvolutionShape ShapeOf(const Conv2dAttributes& attributes, const Shape& x, const Shape& w,
                                 const Shape& y) {
  return {x, w, y, attributes.window, attributes.groups, attributes.bias};
}

float* Mutable(const KernelArgs& args, int input) { return const_cast<float*>(In(args, input)); }

}  // namespace

KernelOr MakeConv2d(const OpSpec& spec) {
  const auto& attributes = std::get<Conv2dAttributes>(spec.attributes);
  const bool bias = attributes.bias;
  ASSIGN_OR_RETURN(
      const Convolution convolution,
      Convolution::Make(ConvolutionPass::kForward, ShapeOf(attributes, spec.inputs[0].shape,
                                                           spec.inputs[1].shape, spec.outputs[0].shape)));
  return MakeFunctionKernel(convolution.scratch_bytes(), [convolution, bias](const KernelArgs& args) {
    convolution.Run(Mutable(args, 0), Mutable(args, 1), bias ? Mutable(args, 2) : nullptr, Out(args, 0),
                    args.scratch);
  });
}

KernelOr MakeConv2dInputGrad(const OpSpec& spec) {
  const auto& attributes = std::get<Conv2dAttributes>(spec.attributes);
  ASSIGN_OR_RETURN(
      const Convolution convolution,
      Convolution::Make(ConvolutionPass::kInputGrad, ShapeOf(attributes, spec.outputs[0].shape,
                                                             spec.inputs[1].shape, spec.inputs[0].shape)));
  return MakeFunctionKernel(convolution.scratch_bytes(), [convolution](const KernelArgs& args) {
    convolution.Run(Out(args, 0), Mutable(args, 1), nullptr, Mutable(args, 0), args.scratch);
  });
}

// oneDNN overwrites, so a gradient to be added to is made in scratch first.
KernelOr MakeConv2dWeightGrad(const OpSpec& spec) {
  const auto& attributes = std::get<Conv2dAttributes>(spec.attributes);
  ASSIGN_OR_RETURN(
      const Convolution convolution,
      Convolution::Make(ConvolutionPass::kWeightGrad, ShapeOf(attributes, spec.inputs[1].shape,
                                                              spec.outputs[0].shape, spec.inputs[0].shape)));
  const int64_t weights = spec.outputs[0].shape.NumElements(), channels = spec.outputs[0].shape[0];
  const bool bias = attributes.bias;
  ScratchPlan scratch;
  const size_t onednn_at = scratch.TakeBytes(convolution.scratch_bytes());
  const size_t w_at = scratch.Take(weights), b_at = scratch.Take(channels);
  return MakeFunctionKernel(scratch.bytes(), [=](const KernelArgs& args) {
    float* w = args.accumulate ? At(args, w_at) : Out(args, 0);
    float* b = !bias ? nullptr : args.accumulate ? At(args, b_at) : Out(args, 1);
    convolution.Run(Mutable(args, 1), w, b, Mutable(args, 0), args.scratch + onednn_at);
    if (!args.accumulate) return;
    AddTile(w, Out(args, 0), weights);
    if (bias) AddTile(b, Out(args, 1), channels);
  });
}

}  // namespace lockstep::kernels::cpu
