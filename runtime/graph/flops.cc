#include "runtime/graph/flops.h"

namespace lockstep::graph {
namespace {

using kernels::OpKind;

double Elements(const TensorType& type) { return static_cast<double>(type.shape.NumElements()); }

// q k^T and p v over B x H x T x S pairs of D.
double AttentionFlops(const kernels::OpSpec& spec, int first_input, const TensorType& y) {
  const auto& attributes = std::get<kernels::AttentionAttributes>(spec.attributes);
  const double keys = static_cast<double>(spec.inputs[first_input + (attributes.packed ? 0 : 1)].shape[1]);
  return 4 * Elements(y) * keys * (attributes.causal ? 0.5 : 1);
}

}  // namespace

double FlopsOf(const kernels::OpSpec& spec) {
  switch (spec.kind) {
    case OpKind::kMatMul: {
      const auto& attributes = std::get<kernels::MatMulAttributes>(spec.attributes);
      return 2 * Elements(spec.outputs[0]) *
             static_cast<double>(spec.inputs[0].shape[attributes.transpose_a ? -2 : -1]);
    }
    case OpKind::kLinear:
    case OpKind::kLinearInputGrad:
      return 2 * Elements(spec.outputs[0]) * static_cast<double>(spec.inputs[0].shape[-1]);
    case OpKind::kLinearWeightGrad:
      return 2 * Elements(spec.inputs[0]) * static_cast<double>(spec.inputs[1].shape[-1]);
    case OpKind::kConv2d:  // each output element is a dot product with one filter
      return 2 * Elements(spec.outputs[0]) * Elements(spec.inputs[1]) /
             static_cast<double>(spec.inputs[1].shape[0]);
    case OpKind::kConv2dInputGrad:
      return 2 * Elements(spec.inputs[0]) * Elements(spec.inputs[1]) /
             static_cast<double>(spec.inputs[1].shape[0]);
    case OpKind::kConv2dWeightGrad:
      return 2 * Elements(spec.inputs[0]) * Elements(spec.outputs[0]) /
             static_cast<double>(spec.outputs[0].shape[0]);
    case OpKind::kAttention:
      return AttentionFlops(spec, 0, spec.outputs[0]);
    case OpKind::kAttentionGrad:  // the scores once more, and two products for each of the two
      return 2.5 * AttentionFlops(spec, 3, spec.inputs[1]);
    default:
      return 0;
  }
}

}  // namespace lockstep::graph
