// Builds the graph of a model: typed values, shapes inferred at once, errors that name the operator, the
// scope and the shapes.
//
//   Builder b(/*micro_batch=*/16);
//   Tensor x = b.Input("image", DType::kF32, {64});
//   Tensor label = b.Input("label", DType::kI64, {});
//   {
//     auto scope = b.Scope("fc1");
//     Tensor w = b.Parameter("weight", {32, 64}, Initializer::Uniform(0.125f));  // "fc1.weight"
//     x = b.Relu(b.Linear(x, w, b.Parameter("bias", {32}, Initializer::Zeros())));
//   }
//   ...
//   b.Metric("accuracy", b.Accuracy(logits, label));
//   b.Loss(b.CrossEntropy(logits, label));
//   ASSIGN_OR_RETURN(Graph graph, std::move(b).Finish());
//
// Shapes omit the micro-batch: an input {64} is [micro_batch, 64] in memory, and axis 0 of it is the axis
// of 64. Parameters and states have no micro-batch; binary operators repeat them over the samples. Images are
// [H, W, C]. The first mistake is kept and returned by Finish (and error()); from then on operators give
// invalid tensors, so that model code needs no checks. Functions that only ask (shape, dtype) give an empty
// answer for invalid tensors.
#ifndef LOCKSTEP_RUNTIME_GRAPH_BUILDER_H_
#define LOCKSTEP_RUNTIME_GRAPH_BUILDER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/tensor_type.h"
#include "runtime/graph/graph.h"

namespace lockstep::graph {

// A value of one Builder. Copy freely.
struct Tensor {
  ValueId id = kNoValue;
  bool valid() const { return id != kNoValue; }
};

struct Conv2dOptions {
  int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dilation_h = 1, dilation_w = 1, groups = 1;

  static Conv2dOptions Square(int64_t stride, int64_t padding) {
    return {.stride_h = stride, .stride_w = stride, .pad_h = padding, .pad_w = padding};
  }
};

struct Pool2dOptions {
  int64_t kernel_h = 2, kernel_w = 2, stride_h = 2, stride_w = 2, pad_h = 0, pad_w = 0;
  bool count_padding = true;  // average pooling: divide by the whole window even at the border

  static Pool2dOptions Square(int64_t kernel, int64_t stride, int64_t padding = 0) {
    return {.kernel_h = kernel,
            .kernel_w = kernel,
            .stride_h = stride,
            .stride_w = stride,
            .pad_h = padding,
            .pad_w = padding};
  }
};

struct BatchNormOptions {
  float epsilon = 1e-5f;
  float momentum =
      0.1f;  // running = (1 - momentum) running + momentum * (statistics averaged over micro-batches)
};

struct AttentionOptions {
  int64_t heads = 1;
  int64_t key_heads = 0;  // 0: as many as heads; fewer: grouped queries
  bool causal = false;
  float scale = 0;  // 0: 1 / sqrt(head size)
};

struct RotaryOptions {
  int64_t head_size = 0;
  int64_t rotary_size = 0;    // 0: head_size; the first rotary_size elements of a head turn
  int64_t rotated_heads = 0;  // 0: all; else the first ones only (packed q | k | v)
  double base = 10000;
};

enum class GeluKind : uint8_t { kErf, kTanh };

class Builder {
 public:
  explicit Builder(int64_t micro_batch);

  // Names made while it lives begin with its name and a dot. Scopes end in the reverse order of their begin.
  class [[nodiscard]] ScopeGuard {
   public:
    ScopeGuard(ScopeGuard&& other) noexcept : builder_(other.builder_), length_(other.length_) {
      other.builder_ = nullptr;
    }
    ScopeGuard& operator=(ScopeGuard&&) = delete;
    ~ScopeGuard();

   private:
    friend class Builder;
    ScopeGuard(Builder* builder, size_t length) : builder_(builder), length_(length) {}
    Builder* builder_;
    size_t length_;  // of the prefix before this scope
  };
  ScopeGuard Scope(absl::string_view name);                 // "name."
  ScopeGuard Scope(absl::string_view name, int64_t index);  // "name.3."
  const std::string& scope() const { return prefix_; }      // "block.3." or ""

  // ---- Sources. `shape` without the micro-batch.
  Tensor Input(absl::string_view name, DType dtype, const Shape& shape);
  // A trained tensor, fp32, named <scope><name>. Use it in several places to tie weights.
  Tensor Parameter(absl::string_view name, const Shape& shape, const Initializer& initializer);
  Tensor State(absl::string_view name, const Shape& shape, float initial);
  Tensor SampleWeight();  // F32 []: 1 for a sample that counts, 0 for one that does not

  // ---- What is known of a tensor.
  Shape shape(Tensor x) const;   // without the micro-batch
  DType dtype(Tensor x) const;   // kF32 for an invalid tensor
  bool batched(Tensor x) const;  // has one value a sample
  int64_t micro_batch() const { return graph_.micro_batch; }

  // ---- Arithmetic, element by element. Shapes are equal, or one side's is a suffix of the other's ([C] with
  // [T, C]), or has trailing ones ([T, 1] with [T, C]), or is a scalar. Integers become fp32.
  Tensor Add(Tensor a, Tensor b);
  Tensor Sub(Tensor a, Tensor b);
  Tensor Mul(Tensor a, Tensor b);
  Tensor Div(Tensor a, Tensor b);
  Tensor Maximum(Tensor a, Tensor b);
  Tensor Minimum(Tensor a, Tensor b);
  Tensor Scale(Tensor x, float factor);
  Tensor Shift(Tensor x, float offset);
  Tensor Neg(Tensor x);
  Tensor Abs(Tensor x);
  Tensor Square(Tensor x);
  Tensor Sqrt(Tensor x);
  Tensor Exp(Tensor x);
  Tensor Log(Tensor x);
  Tensor Relu(Tensor x);
  Tensor Gelu(Tensor x, GeluKind kind = GeluKind::kErf);
  Tensor Tanh(Tensor x);
  Tensor Sigmoid(Tensor x);
  Tensor Silu(Tensor x);
  // Each use in a model has its own random stream, named by the scope and a counter. Identity in evaluation
  // and for rate 0. x must be batched: the mask is a function of the sample's position in the run.
  Tensor Dropout(Tensor x, float rate);
  Tensor ToFloat(Tensor x);  // of U8, I32, I64

  // ---- Products.
  // x [.., in], weight [out, in], bias [out] or absent -> [.., out]
  Tensor Linear(Tensor x, Tensor weight, Tensor bias = {});
  // a [.., M, K] (transposed: [.., K, M]), b [.., K, N] or [K, N] without leading dimensions -> [.., M, N]
  Tensor MatMul(Tensor a, Tensor b, bool transpose_a = false, bool transpose_b = false);
  // x [H, W, C], weight [O, C / groups, KH, KW], bias [O] or absent -> [H', W', O]; cross-correlation
  Tensor Conv2d(Tensor x, Tensor weight, Tensor bias, const Conv2dOptions& options);

  // ---- Pooling of [H, W, C].
  Tensor MaxPool2d(Tensor x, const Pool2dOptions& options);
  Tensor AvgPool2d(Tensor x, const Pool2dOptions& options);
  Tensor GlobalAvgPool(Tensor x);  // [H, W, C] -> [C]

  // ---- Norms. gamma, beta [C]; C is the last dimension of x.
  // In training: statistics of this micro-batch, and running_mean and running_variance (states [C]) follow
  // them. In evaluation: the running ones.
  Tensor BatchNorm(Tensor x, Tensor gamma, Tensor beta, Tensor running_mean, Tensor running_variance,
                   const BatchNormOptions& options = {});
  Tensor LayerNorm(Tensor x, Tensor gamma, Tensor beta, float epsilon = 1e-5f);

  // ---- Sequences [T, C].
  Tensor Softmax(Tensor x);  // over the last dimension
  Tensor Embedding(Tensor ids,
                   Tensor table);  // ids [..], table [V, C] -> [.., C]; an id out of range is a data error
  // qkv [T, (heads + 2 key_heads) D] (q, then k, then v) -> [T, heads D]. key_mask [T] or absent: U8, nonzero
  // = may be attended; or F32, added to the scores.
  Tensor AttentionPacked(Tensor qkv, const AttentionOptions& options, Tensor key_mask = {});
  // q [T, heads D], k and v [S, key_heads D]; key_mask [S] or absent.
  Tensor Attention(Tensor q, Tensor k, Tensor v, const AttentionOptions& options, Tensor key_mask = {});
  Tensor Rotary(Tensor x, const RotaryOptions& options);  // [T, heads D], position = index in T

  // ---- Shapes. Axes do not count the micro-batch; negative axes count from the end.
  Tensor Reshape(Tensor x, const Shape& shape);  // one entry may be -1; no copy
  Tensor Flatten(Tensor x);                      // to [n]; no copy
  Tensor Transpose(Tensor x, const std::vector<int>& permutation);
  Tensor Concat(absl::Span<const Tensor> parts, int axis);
  Tensor Slice(Tensor x, int axis, int64_t begin, int64_t size);
  Tensor Mean(Tensor x, int axis);  // drops the axis
  Tensor Sum(Tensor x, int axis);   // drops the axis

  // ---- Losses and metrics: sums over rows of weight * value, where a row's weight is its sample's weight
  // (times `mask`, F32 or U8 of the labels' shape, if there is one). What is reported, and what the gradient
  // is of, is sum / sum of row weights over the whole batch of the step: the mean, as torch's
  // reduction="mean". The division happens once, after all lanes are added. logits [.., V], labels [..] I32
  // or I64. A label out of range is a data error unless its row's weight is 0. `share`, F32 of the labels'
  // shape, is a factor of each row's value that does not count as weight: share and 1 - share of two labels
  // make one soft label.
  Tensor CrossEntropy(Tensor logits, Tensor labels, Tensor mask = {}, Tensor share = {});
  Tensor MeanSquaredError(Tensor prediction, Tensor target);  // equal shapes [.., C] (or [])
  Tensor Accuracy(Tensor logits, Tensor labels, Tensor mask = {});

  // `value` is the result of a loss function above, or any batched F32 tensor, of which the mean is meant.
  // Several calls add up: factor * mean each.
  void Loss(Tensor value, float factor = 1);
  // The same for a number to report; names are unique.
  void Metric(absl::string_view name, Tensor value);
  // A tensor to keep for the caller when evaluating (logits for predictions).
  void Output(absl::string_view name, Tensor value);

  // Records `status` as if an operator had failed (layers check their own options with it). Keeps the first.
  void Fail(const absl::Status& status);
  bool ok() const { return error_.ok(); }
  const absl::Status& error() const { return error_; }

  // The graph, with no loss if Loss was never called. Error: the first mistake, a ConfigError.
  absl::StatusOr<Graph> Finish() &&;

 private:
  struct RowWeights {
    ValueId rows = kNoValue;  // F32, one a row
    WeightedSum denominator;
  };

  bool Usable(absl::string_view op, absl::Span<const Tensor> tensors);
  Tensor FailOp(absl::string_view op, absl::string_view message, absl::Span<const Tensor> tensors);
  std::string OpName(absl::string_view op) const;
  Shape FullShape(bool batched, const Shape& shape) const;
  Tensor Wrap(ValueId id, bool batched);
  int FullAxis(Tensor x, int axis) const;  // -1: out of range
  // One node; batched outputs unless said otherwise; outputs[0] is returned.
  Tensor Op(absl::string_view op, kernels::OpKind kind, kernels::OpAttributes attributes,
            absl::Span<const Tensor> inputs, bool batched, std::vector<ValueId>* outputs = nullptr);
  Tensor ExpandTo(Tensor x, const Shape& full, bool full_batched);
  Tensor Elementwise(absl::string_view op, kernels::Instruction last, absl::Span<const Tensor> inputs);
  Tensor Reduce(absl::string_view op, Tensor x, int axis, bool mean);
  Tensor Pool(absl::string_view op, kernels::OpKind kind, Tensor x, const Pool2dOptions& options);
  Tensor AttentionOp(absl::string_view op, std::vector<Tensor> inputs,
                     kernels::AttentionAttributes attributes, Tensor key_mask);
  void UpdateRunning(Tensor state, ValueId statistic, float momentum);
  bool RowsOf(absl::string_view op, const Shape& rows, Tensor mask, RowWeights* weights);
  Tensor RowLoss(absl::string_view op, kernels::OpKind kind, Tensor x, Tensor y, const Shape& rows,
                 Tensor mask, Tensor share = {});
  bool SumOf(absl::string_view op, Tensor value, WeightedSum* sum);
  std::string UniqueParameterName(absl::string_view op, absl::string_view name);

  Graph graph_;
  std::string prefix_;
  absl::Status error_;
  std::vector<bool> batched_;                      // of each value
  std::map<ValueId, WeightedSum> loss_sums_;       // results of loss functions
  std::map<std::string, int> dropout_sites_;       // how many of each scope
  std::map<std::string, RowWeights> row_weights_;  // by rows a sample and mask
  std::map<ValueId, ValueId> weight_sums_;         // of each tensor of weights
};

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_BUILDER_H_
