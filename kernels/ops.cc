#include "kernels/ops.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lockstep::kernels {
namespace {

void AppendType(std::string* out, const TensorType& type) { out->append(type.ToString()); }

// Inputs from `first` on that have the full shape and the output's type, as elementwise programs may
// overwrite.
std::vector<int> FullShapeInputs(const OpSpec& spec, int first, const Shape& full) {
  std::vector<int> inputs;
  for (int i = first; i < static_cast<int>(spec.inputs.size()); ++i) {
    if (spec.inputs[i] == TensorType{DType::kF32, full}) inputs.push_back(i);
  }
  return inputs;
}

std::vector<int> EpilogueInputs(const OpSpec& spec) {
  const auto& epilogue = std::get<LinearAttributes>(spec.attributes).epilogue;
  if (epilogue.empty()) return {};
  Shape full = spec.inputs[0].shape;
  full.Set(-1, spec.inputs[1].shape[spec.kind == OpKind::kLinear ? 0 : 1]);
  return FullShapeInputs(spec, 2, full);
}

bool Residual(const OpSpec& spec) { return std::get<NormAttributes>(spec.attributes).residual; }

}  // namespace

absl::string_view NameOf(OpKind kind) {
  switch (kind) {
    case OpKind::kElementwise:
      return "Elementwise";
    case OpKind::kMatMul:
      return "MatMul";
    case OpKind::kLinear:
      return "Linear";
    case OpKind::kLinearInputGrad:
      return "LinearInputGrad";
    case OpKind::kLinearWeightGrad:
      return "LinearWeightGrad";
    case OpKind::kConv2d:
      return "Conv2d";
    case OpKind::kConv2dInputGrad:
      return "Conv2dInputGrad";
    case OpKind::kConv2dWeightGrad:
      return "Conv2dWeightGrad";
    case OpKind::kMaxPool2d:
      return "MaxPool2d";
    case OpKind::kMaxPool2dGrad:
      return "MaxPool2dGrad";
    case OpKind::kAvgPool2d:
      return "AvgPool2d";
    case OpKind::kAvgPool2dGrad:
      return "AvgPool2dGrad";
    case OpKind::kReduceSum:
      return "ReduceSum";
    case OpKind::kBroadcast:
      return "Broadcast";
    case OpKind::kBatchNorm:
      return "BatchNorm";
    case OpKind::kBatchNormGrad:
      return "BatchNormGrad";
    case OpKind::kBatchNormInference:
      return "BatchNormInference";
    case OpKind::kLayerNorm:
      return "LayerNorm";
    case OpKind::kLayerNormGrad:
      return "LayerNormGrad";
    case OpKind::kSoftmax:
      return "Softmax";
    case OpKind::kSoftmaxGrad:
      return "SoftmaxGrad";
    case OpKind::kEmbedding:
      return "Embedding";
    case OpKind::kEmbeddingGrad:
      return "EmbeddingGrad";
    case OpKind::kAttention:
      return "Attention";
    case OpKind::kAttentionGrad:
      return "AttentionGrad";
    case OpKind::kRotary:
      return "Rotary";
    case OpKind::kTranspose:
      return "Transpose";
    case OpKind::kConcat:
      return "Concat";
    case OpKind::kSlice:
      return "Slice";
    case OpKind::kSliceGrad:
      return "SliceGrad";
    case OpKind::kCrossEntropy:
      return "CrossEntropy";
    case OpKind::kCrossEntropyGrad:
      return "CrossEntropyGrad";
    case OpKind::kMeanSquaredError:
      return "MeanSquaredError";
    case OpKind::kMeanSquaredErrorGrad:
      return "MeanSquaredErrorGrad";
    case OpKind::kAccuracy:
      return "Accuracy";
  }
  return "unknown operator";
}

std::string OpSpec::ToString() const {
  return absl::StrCat(NameOf(kind), "(", absl::StrJoin(inputs, ", ", AppendType), ") -> ",
                      absl::StrJoin(outputs, ", ", AppendType));
}

std::vector<int> InPlaceInputs(const OpSpec& spec, int output) {
  switch (spec.kind) {
    case OpKind::kElementwise:
      return FullShapeInputs(spec, 0, std::get<ProgramAttributes>(spec.attributes).full_shape);
    case OpKind::kLinear:
    case OpKind::kLinearInputGrad:
      return EpilogueInputs(spec);
    case OpKind::kBatchNorm:
      if (output == 0 && Residual(spec)) return {3};
      return {};
    case OpKind::kBatchNormGrad: {
      const int over_dy = Residual(spec) ? 3 : 0;
      if (output == over_dy) return {0};
      return {};
    }
    case OpKind::kBatchNormInference:
      if (Residual(spec)) return {0, 5};
      return {0};
    case OpKind::kLayerNorm:
      if (output == 0) return {0};
      return {};
    case OpKind::kLayerNormGrad:
      if (output != 0) return {};
      if (Residual(spec)) return {5, 0};
      return {0};
    case OpKind::kSoftmax:
      return {0};
    case OpKind::kSoftmaxGrad:
      return {1};
    case OpKind::kRotary:
      return {0};
    case OpKind::kCrossEntropyGrad:
      return {0};
    case OpKind::kMeanSquaredErrorGrad:
      return {0};
    default:
      return {};
  }
}

bool AccumulatesInto(const OpSpec& spec, int output) {
  switch (spec.kind) {
    case OpKind::kElementwise:
    case OpKind::kMatMul:
    case OpKind::kLinearWeightGrad:
    case OpKind::kConv2dWeightGrad:
    case OpKind::kReduceSum:
    case OpKind::kBroadcast:
    case OpKind::kEmbeddingGrad:
    case OpKind::kSliceGrad:
      return true;
    case OpKind::kLinear:
    case OpKind::kLinearInputGrad:
      return std::get<LinearAttributes>(spec.attributes).epilogue.empty();
    case OpKind::kBatchNormGrad:
    case OpKind::kLayerNormGrad:
      return output == 1 || output == 2;
    case OpKind::kCrossEntropy:
    case OpKind::kMeanSquaredError:
    case OpKind::kAccuracy:
      return output == 0;
    default:
      return false;
  }
}

}  // namespace lockstep::kernels
