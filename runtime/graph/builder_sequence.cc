// Builder: operators of sequences [T, C].
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/graph/builder.h"

namespace lockstep::graph {

using kernels::OpKind;

Tensor Builder::Softmax(Tensor x) {
  if (!Usable("softmax", {x})) return {};
  if (shape(x).rank() < 1) return FailOp("softmax", "needs x [.., C]", {x});
  return Op("softmax", OpKind::kSoftmax, kernels::NoAttributes{}, {x}, batched(x));
}

Tensor Builder::Embedding(Tensor ids, Tensor table) {
  if (!Usable("embedding", {ids, table})) return {};
  if (shape(table).rank() != 2 || batched(table)) {
    return FailOp("embedding", "needs ids [..] (I32 or I64) and a parameter table [V, C]", {ids, table});
  }
  std::vector<ValueId> outputs;
  const Tensor y =
      Op("embedding", OpKind::kEmbedding, kernels::NoAttributes{}, {ids, table}, batched(ids), &outputs);
  if (!y.valid()) return {};
  batched_[outputs[1]] = false;
  graph_.checks.push_back({outputs[1], ids.id, shape(table)[0], OpName("embedding")});
  return y;
}

Tensor Builder::AttentionOp(absl::string_view op, std::vector<Tensor> inputs,
                            kernels::AttentionAttributes attributes, Tensor key_mask) {
  attributes.key_mask = key_mask.valid();
  if (key_mask.valid()) inputs.push_back(key_mask);
  if (!Usable(op, inputs)) return {};
  for (Tensor t : inputs) {
    if (!batched(t)) return FailOp(op, "every operand must depend on the sample", inputs);
  }
  return Op(op, OpKind::kAttention, attributes, inputs, true);
}

Tensor Builder::AttentionPacked(Tensor qkv, const AttentionOptions& options, Tensor key_mask) {
  if (!Usable("attention", {qkv})) return {};
  kernels::AttentionAttributes attributes;
  attributes.heads = options.heads;
  attributes.key_heads = options.key_heads == 0 ? options.heads : options.key_heads;
  attributes.packed = true;
  attributes.causal = options.causal;
  attributes.scale = options.scale;
  const int64_t slots = attributes.heads + 2 * attributes.key_heads;
  if (shape(qkv).rank() != 2 || attributes.heads < 1 || attributes.key_heads < 1 ||
      shape(qkv)[1] % slots != 0) {
    return FailOp("attention",
                  absl::StrCat("needs qkv [T, (heads + 2 key_heads) D] with ", attributes.heads,
                               " heads and ", attributes.key_heads, " key heads"),
                  {qkv});
  }
  attributes.head_size = shape(qkv)[1] / slots;
  return AttentionOp("attention", {qkv}, attributes, key_mask);
}

Tensor Builder::Attention(Tensor q, Tensor k, Tensor v, const AttentionOptions& options, Tensor key_mask) {
  if (!Usable("attention", {q, k, v})) return {};
  kernels::AttentionAttributes attributes;
  attributes.heads = options.heads;
  attributes.key_heads = options.key_heads == 0 ? options.heads : options.key_heads;
  attributes.causal = options.causal;
  attributes.scale = options.scale;
  if (shape(q).rank() != 2 || attributes.heads < 1 || shape(q)[1] % attributes.heads != 0) {
    return FailOp(
        "attention",
        absl::StrCat("needs q [T, heads D], k and v [S, key_heads D] with ", attributes.heads, " heads"),
        {q, k, v});
  }
  attributes.head_size = shape(q)[1] / attributes.heads;
  return AttentionOp("attention", {q, k, v}, attributes, key_mask);
}

Tensor Builder::Rotary(Tensor x, const RotaryOptions& options) {
  if (!Usable("rotary", {x})) return {};
  if (shape(x).rank() != 2 || !batched(x) || options.head_size < 1 || shape(x)[1] % options.head_size != 0) {
    return FailOp("rotary", absl::StrCat("needs x [T, heads * ", options.head_size, "]"), {x});
  }
  kernels::RotaryAttributes attributes;
  attributes.head_size = options.head_size;
  attributes.rotary_size = options.rotary_size == 0 ? options.head_size : options.rotary_size;
  attributes.rotated_heads =
      options.rotated_heads == 0 ? shape(x)[1] / options.head_size : options.rotated_heads;
  attributes.base = options.base;
  return Op("rotary", OpKind::kRotary, attributes, {x}, true);
}

}  // namespace lockstep::graph
