// The types of what operators on rows and sequences give, losses among them.
#include "kernels/infer_checks.h"

namespace lockstep::kernels::infer {

Inferred InferLayerNorm(const OpSpec& spec) {
  const auto& attributes = std::get<NormAttributes>(spec.attributes);
  const bool grad = spec.kind == OpKind::kLayerNormGrad;
  LOCKSTEP_REQUIRE(!attributes.relu, "layer norm has no fused relu");
  LOCKSTEP_REQUIRE(grad || !attributes.residual, "layer norm takes no residual");
  RETURN_IF_ERROR(CheckCount(spec, grad ? 5 + attributes.residual : 3));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  const TensorType& x = spec.inputs[0];
  LOCKSTEP_REQUIRE(x.shape.rank() >= 1 && x.shape[-1] > 0, "x needs a last dimension");
  const int64_t channels = x.shape[-1];
  const TensorType rows = F32(WithoutLast(x.shape));
  if (!grad) {
    RETURN_IF_ERROR(CheckVectors(spec, 1, 2, channels));
    return Types{x, rows, rows};
  }
  LOCKSTEP_REQUIRE(spec.inputs[1] == x, "x must have dy's type");
  RETURN_IF_ERROR(CheckVectors(spec, 2, 2, channels));
  LOCKSTEP_REQUIRE(spec.inputs[3] == rows && spec.inputs[4] == rows, "mean and rstd must be ",
                   rows.ToString());
  if (attributes.residual) LOCKSTEP_REQUIRE(spec.inputs[5] == x, "skip must have x's type");
  return Types{x, F32({channels}), F32({channels})};
}

Inferred InferSoftmax(const OpSpec& spec) {
  const bool grad = spec.kind == OpKind::kSoftmaxGrad;
  RETURN_IF_ERROR(CheckCount(spec, grad ? 2 : 1));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  LOCKSTEP_REQUIRE(In(spec, 0).rank() >= 1 && In(spec, 0)[-1] > 0, "x needs a last dimension");
  if (grad) LOCKSTEP_REQUIRE(spec.inputs[0] == spec.inputs[1], "y and dy differ");
  return Types{spec.inputs[0]};
}

Inferred InferEmbedding(const OpSpec& spec) {
  RETURN_IF_ERROR(CheckCount(spec, 2));
  if (spec.kind == OpKind::kEmbedding) {
    LOCKSTEP_REQUIRE(IsIds(spec.inputs[0]), "ids must be I32 or I64");
    RETURN_IF_ERROR(CheckF32(spec, {1}));
    LOCKSTEP_REQUIRE(In(spec, 1).rank() == 2, "the table needs two dimensions");
    LOCKSTEP_REQUIRE(In(spec, 0).rank() < Shape::kMaxRank, "too many dimensions");
    Shape y = In(spec, 0);
    y.Append(In(spec, 1)[1]);
    return Types{F32(y), InvalidCount()};
  }
  LOCKSTEP_REQUIRE(IsIds(spec.inputs[1]), "ids must be I32 or I64");
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  const Shape& dy = In(spec, 0);
  LOCKSTEP_REQUIRE(dy.rank() >= 1 && WithoutLast(dy) == In(spec, 1),
                   "dy must have the shape of ids and one more dimension");
  const int64_t rows = std::get<EmbeddingGradAttributes>(spec.attributes).rows;
  LOCKSTEP_REQUIRE(rows > 0, "the table needs rows");
  return Types{F32({rows, dy[-1]})};
}

Inferred InferAttention(const OpSpec& spec) {
  const auto& a = std::get<AttentionAttributes>(spec.attributes);
  const bool grad = spec.kind == OpKind::kAttentionGrad;
  const int first = grad ? 3 : 0;
  LOCKSTEP_REQUIRE(a.heads > 0 && a.key_heads > 0 && a.head_size > 0 && a.heads % a.key_heads == 0,
                   "heads must be a multiple of key_heads, and all sizes positive");
  RETURN_IF_ERROR(CheckCount(spec, first + (a.packed ? 1 : 3) + a.key_mask));
  RETURN_IF_ERROR(CheckF32(spec, {first}));
  const Shape& q = In(spec, first);
  LOCKSTEP_REQUIRE(q.rank() == 3, "q needs three dimensions");
  const int64_t width = a.heads * a.head_size, key_width = a.key_heads * a.head_size;
  LOCKSTEP_REQUIRE(q[2] == width + (a.packed ? 2 * key_width : 0), "the last dimension of q must be ",
                   width + (a.packed ? 2 * key_width : 0));
  int64_t keys = q[1];
  if (!a.packed) {
    const TensorType& k = spec.inputs[first + 1];
    LOCKSTEP_REQUIRE(k.dtype == DType::kF32 && k.shape.rank() == 3 && k.shape[0] == q[0] &&
                         k.shape[2] == key_width && spec.inputs[first + 2] == k,
                     "k and v must be F32[", q[0], ", S, ", key_width, "]");
    keys = k.shape[1];
  }
  if (a.key_mask) {
    const TensorType& mask = spec.inputs.back();
    LOCKSTEP_REQUIRE(
        (mask.dtype == DType::kF32 || mask.dtype == DType::kU8) && mask.shape == Shape({q[0], keys}),
        "the mask must be U8 or F32 of [", q[0], ", ", keys, "]");
  }
  const TensorType y = F32({q[0], q[1], width}), lse = F32({q[0], a.heads, q[1]});
  if (!grad) return Types{y, lse};
  LOCKSTEP_REQUIRE(spec.inputs[0] == y && spec.inputs[1] == y && spec.inputs[2] == lse, "dy and y must be ",
                   y.ToString(), ", lse ", lse.ToString());
  if (a.packed) return Types{spec.inputs[3]};
  return Types{spec.inputs[3], spec.inputs[4], spec.inputs[5]};
}

Inferred InferRotary(const OpSpec& spec) {
  const auto& a = std::get<RotaryAttributes>(spec.attributes);
  RETURN_IF_ERROR(CheckCount(spec, 1));
  RETURN_IF_ERROR(CheckF32(spec, {0}));
  const Shape& x = In(spec, 0);
  LOCKSTEP_REQUIRE(x.rank() == 3 && a.head_size > 0 && x[2] % a.head_size == 0,
                   "x must be [B, T, heads * head_size]");
  LOCKSTEP_REQUIRE(a.rotary_size >= 0 && a.rotary_size <= a.head_size && a.rotary_size % 2 == 0 &&
                       (a.rotary_size > 0 || a.head_size % 2 == 0),
                   "rotary_size must be even and at most head_size");
  LOCKSTEP_REQUIRE(a.rotated_heads >= 0 && a.rotated_heads * a.head_size <= x[2],
                   "more rotated heads than heads");
  LOCKSTEP_REQUIRE(a.base > 0, "base must be positive");
  return Types{spec.inputs[0]};
}

// Losses and metrics over [R, C] with one weight a row.
Inferred InferLoss(const OpSpec& spec) {
  const bool regression =
      spec.kind == OpKind::kMeanSquaredError || spec.kind == OpKind::kMeanSquaredErrorGrad;
  const bool entropy_grad = spec.kind == OpKind::kCrossEntropyGrad;
  const bool grad = entropy_grad || spec.kind == OpKind::kMeanSquaredErrorGrad;
  RETURN_IF_ERROR(CheckCount(spec, entropy_grad ? 5 : grad ? 4 : 3));
  RETURN_IF_ERROR(CheckF32(spec, {0, 2}));
  const Shape& x = In(spec, 0);
  LOCKSTEP_REQUIRE(x.rank() >= 1 && x[-1] > 0, "input 0 needs a last dimension");
  const int64_t rows = Rows(x);
  if (regression) {
    LOCKSTEP_REQUIRE(spec.inputs[1] == spec.inputs[0], "prediction and target differ");
  } else {
    LOCKSTEP_REQUIRE(IsIds(spec.inputs[1]) && In(spec, 1).NumElements() == rows, "labels must be ", rows,
                     " of I32 or I64");
  }
  LOCKSTEP_REQUIRE(In(spec, 2).NumElements() == rows, "weights must be ", rows);
  if (grad) {
    RETURN_IF_ERROR(CheckF32(spec, {static_cast<int>(spec.inputs.size()) - 1}));
    LOCKSTEP_REQUIRE(spec.inputs.back().shape.NumElements() == 1, "dloss must be one number");
    if (entropy_grad)
      LOCKSTEP_REQUIRE(spec.inputs[3] == F32(WithoutLast(x)), "lse must be F32", WithoutLast(x).ToString());
    return Types{spec.inputs[0]};
  }
  if (spec.kind == OpKind::kCrossEntropy) return Types{F64Scalar(), F32(WithoutLast(x)), InvalidCount()};
  return Types{F64Scalar()};
}

}  // namespace lockstep::kernels::infer
