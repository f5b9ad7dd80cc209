// The contract of every operator: what goes in, what comes out, by which formula, what may run in place.
//
// Device-neutral. The graph turns each node into one OpSpec and calls MakeKernel (kernel.h). InferOutputs
// gives the types of the outputs, so shape inference lives here too, once.
//
// Layouts: images NHWC (channels last), sequences [B, T, C], convolution weights OIHW, linear weights [out,
// in] (the last two as in torch). "R, C" below means that all dimensions but the last are taken together as R
// rows. Tensors are F32 unless a dtype is named. "ids" and "labels" are I32 or I64. Parameters of norms are
// F32 [C]. A name in [brackets] is there when the attribute named after it says so; the order is always the
// one written.
//
// Accumulate (KernelArgs::accumulate): outputs marked += are added to, if asked; all others are always
// overwritten. In place: "y over x" means that output y may be the very buffer of input x (InPlaceInputs says
// the same to programs). Determinism: every operator sums in an order fixed by its shapes alone.
#ifndef LOCKSTEP_KERNELS_OPS_H_
#define LOCKSTEP_KERNELS_OPS_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/program.h"
#include "runtime/core/status.h"
#include "runtime/core/tensor_type.h"

namespace lockstep::kernels {

enum class OpKind : uint8_t {
  // (inputs of any broadcastable shape) -> F32 outputs, all of the full shape
  // (ProgramAttributes::full_shape).
  // Every output +=. In place: any output over any F32 input of the full shape.
  kElementwise,

  // MatMulAttributes. a [.., M, K] (transpose_a: [.., K, M]), b [.., K, N] (transpose_b: [.., N, K]) -> y
  // [.., M, N]: scale * a b.
  // Leading dimensions are equal, or b has none and is used for every matrix of a. y +=.
  kMatMul,

  // LinearAttributes. y = x w^T. x [.., in], w [out, in], extra inputs... -> y [.., out], more outputs...
  // Without an epilogue: y only, y +=. With an epilogue program: its outputs, each [.., out]; kLoad(i) is
  // extra input i and kResult is x w^T. A bias is an epilogue. In place (epilogue only): any output over any
  // F32 extra input of full shape.
  kLinear,
  // LinearAttributes. dx = dy w. dy [.., out], w [out, in], extra inputs... -> dx [.., in], more outputs.
  // Epilogue as kLinear.
  kLinearInputGrad,
  // WeightGradAttributes. dw = dy^T x. dy [.., out], x [.., in] -> dw [out, in], [db [out] = sum of the rows
  // of dy (bias)]; dw +=, db +=.
  kLinearWeightGrad,

  // Conv2dAttributes. x [N, H, W, C], w [O, C / groups, KH, KW], [b [O] (bias)] -> y [N, OH, OW, O];
  // OH = (H + pad_top + pad_bottom - dilation_h (KH - 1) - 1) / stride_h + 1, cross-correlation as
  // torch.nn.Conv2d.
  kConv2d,
  // Conv2dAttributes (input_height, input_width say H and W). dy [N, OH, OW, O], w -> dx [N, H, W, C].
  kConv2dInputGrad,
  // Conv2dAttributes (the window says KH and KW). dy, x -> dw [O, C / groups, KH, KW], [db [O] (bias)]; dw
  // +=, db +=.
  kConv2dWeightGrad,

  // Pool2dAttributes. x [N, H, W, C] -> y [N, OH, OW, C], at U8 of y's shape: place of the maximum in its
  // window, row by row, the first of equals (as torch; a NaN wins). Padding never wins. Windows of at most
  // 255 places.
  kMaxPool2d,
  // Pool2dAttributes with input_height, input_width. dy, at -> dx [N, H, W, C].
  kMaxPool2dGrad,
  // Pool2dAttributes. x -> y: sum over the window / (KH KW) with count_padding, else / places inside the
  // image.
  kAvgPool2d,
  kAvgPool2dGrad,  // Pool2dAttributes with input_height, input_width. dy -> dx.

  // ReduceAttributes {outer, reduce, inner}: x, seen as [outer, reduce, inner], -> y = scale * sum over the
  // middle, y +=.
  // y's shape is output_shape (of outer * inner elements). Bias gradient: {1, R, C}. Global average pool: {N,
  // HW, C}, 1 / HW.
  // Sum of all: {1, n, 1}.
  kReduceSum,
  // ReduceAttributes: x of outer * inner elements -> y = scale * x repeated over the middle; y's shape is
  // output_shape. y +=.
  kBroadcast,

  // NormAttributes. x [R, C], gamma, beta, [residual as x (residual)] -> y [R, C], mean [C], rstd [C],
  // variance [C]. y = relu?((x - mean) rstd gamma + beta [+ residual]); rstd = 1 / sqrt(biased variance +
  // epsilon), over the R rows of this call; `variance` is the unbiased one (R / (R - 1); the biased one for R
  // = 1) for the running statistics, as torch.nn.BatchNorm2d (Ioffe, Szegedy, arXiv:1502.03167). In place: y
  // over residual.
  kBatchNorm,
  // NormAttributes. dy, x, [y (relu)], gamma, mean, rstd -> dx, dgamma, dbeta, [dresidual (residual)]; dgamma
  // +=, dbeta +=.
  // dresidual is dy with the relu's mask. In place: dresidual over dy if there is one, else dx over dy.
  kBatchNormGrad,
  // NormAttributes. x, gamma, beta, running mean [C], running variance [C], [residual] -> y. In place: y over
  // x or residual.
  kBatchNormInference,

  // NormAttributes. x [R, C], gamma, beta -> y [R, C], mean [R], rstd [R] (mean and rstd have x's shape
  // without its last dimension). Biased variance, as torch.nn.LayerNorm (Ba, Kiros, Hinton,
  // arXiv:1607.06450). In place: y over x.
  kLayerNorm,
  // NormAttributes. dy, x, gamma, mean, rstd, [skip as x (residual): a gradient that flows past the norm,
  // added to dx] -> dx, dgamma, dbeta; dgamma +=, dbeta +=. In place: dx over dy or skip.
  kLayerNormGrad,

  kSoftmax,      // x [R, C] -> y: exp(x - max) / sum, over the last axis. In place: y over x.
  kSoftmaxGrad,  // y, dy -> dx = y (dy - sum(y dy)). In place: dx over dy.

  // ids [..], table [V, C] -> y [.., C], invalid I64 [2] = {how many ids are outside [0, V), index of the
  // first or -1}.
  // The row of an invalid id is zero.
  kEmbedding,
  // EmbeddingGradAttributes {V}. dy [.., C], ids -> dtable [V, C], +=. Rows are added in order of appearance;
  // invalid ids are skipped.
  kEmbeddingGrad,

  // AttentionAttributes (H heads, H_kv key heads, head size D). Inputs: packed: qkv [B, T, (H + 2 H_kv) D],
  // split q | k | v; else q [B, T, H D], k and v [B, S, H_kv D]. Then [mask [B, S] (key_mask): U8, nonzero =
  // may be attended, or F32, added to the scores]. Outputs: y [B, T, H D], lse [B, H, T] (log of the sum of
  // exp of a row's scores). y = softmax(scale q k^T + mask) v per head; causal: query t sees keys s <= t + (S
  // - T). Head h uses key head h / (H / H_kv). A query that may see nothing gives zeros and lse = -inf.
  // Computed by blocks of queries (Dao et al., arXiv:2205.14135; the backward pass recomputes the
  // probabilities from lse).
  kAttention,
  // AttentionAttributes. dy, y, lse, then kAttention's inputs -> packed: dqkv, else dq, dk, dv. No gradient
  // of the mask.
  kAttentionGrad,

  // RotaryAttributes. x [B, T, heads * D] -> y. Head by head, for the first `rotated_heads` heads (so that a
  // packed qkv can turn q and k only; the others are copied): pairs (i, i + r/2), i < r/2, r = rotary_size,
  // turn by (t + first_position) base^(-2i/r) (half-rotation as in GPT-NeoX; Su et al., arXiv:2104.09864);
  // elements from r on are copied. inverse turns back: the gradient. In place: y over x.
  kRotary,

  kTranspose,  // TransposeAttributes. y's axis i is x's axis permutation[i]. Any dtype.
  kConcat,     // AxisAttributes. x_0, x_1, .. equal but for `axis` -> y. Any dtype.
  kSlice,      // SliceAttributes. x -> y: `size` indices of `axis` from `begin` on. Any dtype.
  kSliceGrad,  // SliceAttributes (input_size says how long the axis was). dy -> dx, zero outside of the
               // slice; dx +=.

  // Losses give sums, never means: the caller divides once by the global weight. `weights` has one F32 a row.
  // logits [R, V], labels [R], weights [R] -> loss F64 [] = sum_r weight (lse_r - logits[r, label]), lse [R],
  // invalid I64 [2] as kEmbedding. Rows of weight 0 are skipped (any label there); invalid rows count for
  // nothing. loss +=.
  kCrossEntropy,
  // logits, labels, weights, lse, dloss F32 [] -> dlogits = dloss weight (softmax - onehot). In place:
  // dlogits over logits.
  kCrossEntropyGrad,
  // prediction [R, C], target [R, C], weights [R] -> loss F64 [] = sum_r weight mean_c (prediction -
  // target)^2. loss +=.
  kMeanSquaredError,
  // prediction, target, weights, dloss F32 [] -> dprediction. In place: over prediction.
  kMeanSquaredErrorGrad,
  // logits [R, V], labels [R], weights [R] -> hits F64 [] = sum of the weights of rows whose first largest
  // logit is the label. hits +=.
  kAccuracy,
};

struct NoAttributes {
  friend bool operator==(const NoAttributes&, const NoAttributes&) = default;
};

struct ProgramAttributes {
  Program program;
  Shape full_shape;
  friend bool operator==(const ProgramAttributes&, const ProgramAttributes&) = default;
};

struct MatMulAttributes {
  bool transpose_a = false, transpose_b = false;
  float scale = 1;
  friend bool operator==(const MatMulAttributes&, const MatMulAttributes&) = default;
};

struct LinearAttributes {
  Program epilogue;
  friend bool operator==(const LinearAttributes&, const LinearAttributes&) = default;
};

struct WeightGradAttributes {
  bool bias = false;
  friend bool operator==(const WeightGradAttributes&, const WeightGradAttributes&) = default;
};

struct Window2d {
  int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  friend bool operator==(const Window2d&, const Window2d&) = default;
};

struct Conv2dAttributes {
  Window2d window;
  int64_t groups = 1;
  bool bias = false;
  int64_t input_height = 0, input_width = 0;  // kConv2dInputGrad only
  friend bool operator==(const Conv2dAttributes&, const Conv2dAttributes&) = default;
};

struct Pool2dAttributes {
  Window2d window;                            // dilation must be 1; padding less than the kernel
  bool count_padding = true;                  // average pooling; torch's count_include_pad
  int64_t input_height = 0, input_width = 0;  // gradients only
  friend bool operator==(const Pool2dAttributes&, const Pool2dAttributes&) = default;
};

struct ReduceAttributes {
  int64_t outer = 1, reduce = 1, inner = 1;
  float scale = 1;
  Shape output_shape;
  friend bool operator==(const ReduceAttributes&, const ReduceAttributes&) = default;
};

struct NormAttributes {
  float epsilon = 1e-5f;
  bool relu = false;      // batch norms only
  bool residual = false;  // see each operator
  friend bool operator==(const NormAttributes&, const NormAttributes&) = default;
};

struct EmbeddingGradAttributes {
  int64_t rows = 0;  // V
  friend bool operator==(const EmbeddingGradAttributes&, const EmbeddingGradAttributes&) = default;
};

struct AttentionAttributes {
  int64_t heads = 1, key_heads = 1, head_size = 0;
  float scale = 0;  // 0 means 1 / sqrt(head_size)
  bool packed = false, causal = false, key_mask = false;
  friend bool operator==(const AttentionAttributes&, const AttentionAttributes&) = default;
};

struct RotaryAttributes {
  int64_t head_size = 0, rotary_size = 0;  // even; rotary_size 0 means head_size
  int64_t rotated_heads = 0;
  int64_t first_position = 0;
  double base = 10000;
  bool inverse = false;
  friend bool operator==(const RotaryAttributes&, const RotaryAttributes&) = default;
};

struct TransposeAttributes {
  std::vector<int> permutation;
  friend bool operator==(const TransposeAttributes&, const TransposeAttributes&) = default;
};

struct AxisAttributes {
  int axis = 0;  // 0 <= axis < rank
  friend bool operator==(const AxisAttributes&, const AxisAttributes&) = default;
};

struct SliceAttributes {
  int axis = 0;
  int64_t begin = 0, size = 0;
  int64_t input_size = 0;  // kSliceGrad only
  friend bool operator==(const SliceAttributes&, const SliceAttributes&) = default;
};

using OpAttributes = std::variant<NoAttributes, ProgramAttributes, MatMulAttributes, LinearAttributes,
                                  WeightGradAttributes, Conv2dAttributes, Pool2dAttributes, ReduceAttributes,
                                  NormAttributes, EmbeddingGradAttributes, AttentionAttributes,
                                  RotaryAttributes, TransposeAttributes, AxisAttributes, SliceAttributes>;

struct OpSpec {
  OpKind kind = OpKind::kElementwise;
  OpAttributes attributes;
  std::vector<TensorType> inputs, outputs;

  std::string ToString() const;  // "MatMul(F32[2, 3], F32[3, 4]) -> F32[2, 4]"
};

// "MatMul", "Conv2dInputGrad", ...
absl::string_view NameOf(OpKind kind);

// The types of the outputs that follow from kind, attributes and inputs of `spec` (its outputs are not read).
// Errors: InvalidArgument naming the operator, its inputs and what does not fit.
absl::StatusOr<std::vector<TensorType>> InferOutputs(const OpSpec& spec);

// Which inputs output number `output` may share its whole buffer with, best first. At most one output may
// take an input, and that input must not be needed afterwards.
std::vector<int> InPlaceInputs(const OpSpec& spec, int output);

// Whether KernelArgs::accumulate adds to output number `output` (the lines marked += above).
bool AccumulatesInto(const OpSpec& spec, int output);

}  // namespace lockstep::kernels

#endif  // LOCKSTEP_KERNELS_OPS_H_
