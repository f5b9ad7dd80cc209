// Builds a model of one's own: typed values, shapes known at once, errors that name the operator and its
// scope.
//
//   void PartNet(lockstep::Builder& b, const lockstep::Params& p) {
//     auto x = b.Input("image", lockstep::F32, {64, 64, 1});
//     auto label = b.Input("label", lockstep::I64, {});
//     for (int i = 0; i < p.Int("blocks", 3); ++i) {
//       auto scope = b.Scope("block", i);  // names: "block.0.conv2d.weight"
//       x = b.Relu(b.Conv2d(x, {.channels = 32 << i, .kernel = 3}));
//       x = b.MaxPool(x, {.size = 2});
//     }
//     auto logits = b.Linear(b.GlobalAvgPool(x), p.Int("classes", 4));
//     b.Metric("accuracy", b.Accuracy(logits, label));
//     b.Loss(b.CrossEntropy(logits, label));
//   }
//
// Shapes omit the batch: an input {64} holds 64 numbers a sample, and axis 0 is the axis of 64. Negative axes
// count from the end. Images are [height, width, channels]. Numbers are fp32; ids and labels are I32 or I64.
// A mistake is kept and ends the run with its text; from then on every call does nothing, so that model code
// needs no checks. Not thread-safe; a Builder and its Tensors are valid during the call of the model function
// only.
#ifndef LOCKSTEP_BUILDER_H_
#define LOCKSTEP_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

namespace graph {
class Builder;
}  // namespace graph

enum class ElementType : uint8_t { kF32, kI32, kI64, kU8 };
inline constexpr ElementType F32 = ElementType::kF32;
inline constexpr ElementType I32 = ElementType::kI32;
inline constexpr ElementType I64 = ElementType::kI64;
inline constexpr ElementType U8 = ElementType::kU8;

using Dims = std::vector<int64_t>;  // {} is a scalar

// A value of one Builder. Copy freely. A default-made one stands for "none" where a value may be left out.
struct Tensor {
  int32_t id = -1;
};

// How a parameter begins: a function of the run's seed and the parameter's name.
struct Initial {
  enum class Kind : uint8_t { kConstant, kUniform, kNormal } kind = Kind::kConstant;
  float value = 0;  // the constant | bound: uniform in [-bound, bound) | standard deviation around 0
  static Initial Constant(float value) { return {Kind::kConstant, value}; }
  static Initial Zeros() { return Constant(0); }
  static Initial Ones() { return Constant(1); }
  static Initial Uniform(float bound) { return {Kind::kUniform, bound}; }
  static Initial Normal(float deviation) { return {Kind::kNormal, deviation}; }
};

struct Conv2dOptions {
  int64_t channels = 0;  // of the output; required
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t padding = -1;  // -1: (kernel - 1) * dilation / 2, which keeps height and width at stride 1
  int64_t dilation = 1;
  int64_t groups = 1;
  bool bias = true;
};
struct PoolOptions {
  int64_t size = 2;
  int64_t stride = 0;  // 0: size
  int64_t padding = 0;
};
struct BatchNormOptions {
  float epsilon = 1e-5f;
  float momentum = 0.1f;  // weight of the new batch in the running statistics
};
struct SelfAttentionOptions {
  int64_t heads = 1;  // divides C
  bool causal = true;
  bool rotary = false;
};
struct AttentionOptions {
  int64_t heads = 1;
  int64_t key_heads = 0;  // 0: heads; fewer: grouped queries
  bool causal = false;
  float scale = 0;  // 0: 1 / sqrt(head size)
};
struct RotaryOptions {
  int64_t head_size = 0;    // required, even
  int64_t rotary_size = 0;  // 0: head_size; the first elements of a head turn
  double base = 10000;
};

class Builder {
 public:
  // Names made while it lives begin with its name and a dot. Scopes end in the reverse order of their begin.
  class [[nodiscard]] ScopeGuard {
   public:
    struct State;
    explicit ScopeGuard(std::unique_ptr<State> state);
    ScopeGuard(ScopeGuard&& other) noexcept;
    ScopeGuard& operator=(ScopeGuard&&) = delete;
    ~ScopeGuard();

   private:
    std::unique_ptr<State> state_;
  };
  ScopeGuard Scope(std::string_view name);                 // "name."
  ScopeGuard Scope(std::string_view name, int64_t index);  // "name.3."

  // ---- Sources.
  // One of the data's fields, by the name of its feature.
  Tensor Input(std::string_view name, ElementType type, const Dims& shape);
  // A trained fp32 tensor without a batch, named <scope><name>. Used in several places, it is shared.
  Tensor Parameter(std::string_view name, const Dims& shape, const Initial& initial);
  Dims shape(Tensor x) const;   // empty for an invalid tensor
  int64_t micro_batch() const;  // samples that a lane computes at a time

  // ---- Layers: make their own parameters, named by the scope and the layer: "linear.weight", and
  // "linear_1.weight" for the second one in the same scope. Initial values as torch's layers of the same
  // name.
  Tensor Linear(Tensor x, int64_t features, bool bias = true);  // [.., C] -> [.., features]
  Tensor Conv2d(Tensor x, const Conv2dOptions& options);        // [H, W, C] -> [H', W', channels]
  Tensor BatchNorm(Tensor x, const BatchNormOptions& options = {});
  Tensor LayerNorm(Tensor x, float epsilon = 1e-5f);          // over the last dimension
  Tensor Embedding(Tensor ids, int64_t rows, int64_t width);  // [..] -> [.., width]
  Tensor Positions(Tensor x);  // [T, C]: adds a learned [T, C] (from N(0, 0.02))
  Tensor SelfAttention(Tensor x, const SelfAttentionOptions& options);  // [T, C] -> [T, C], with projections

  // ---- Element by element. Shapes are equal, or one is a suffix of the other ([C] with [T, C]), or has
  // trailing ones ([T, 1] with [T, C]), or is a scalar. Integers become fp32.
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
  Tensor Gelu(Tensor x);
  Tensor GeluTanh(Tensor x);  // the tanh approximation
  Tensor Tanh(Tensor x);
  Tensor Sigmoid(Tensor x);
  Tensor Silu(Tensor x);
  Tensor Dropout(Tensor x, float rate);
  Tensor ToFloat(Tensor x);

  // ---- Products with parameters (or anything else) of one's own.
  Tensor Linear(Tensor x, Tensor weight, Tensor bias = {});  // x [.., in], weight [out, in], bias [out]
  // a [.., M, K] (transposed: [.., K, M]), b [.., K, N] or [K, N] -> [.., M, N]
  Tensor MatMul(Tensor a, Tensor b, bool transpose_a = false, bool transpose_b = false);
  // weight [channels, C / groups, kernel, kernel], bias [channels] or none; channels, kernel and bias of
  // `options` are not read
  Tensor Conv2d(Tensor x, Tensor weight, Tensor bias, const Conv2dOptions& options);
  Tensor Embedding(Tensor ids, Tensor table);  // table [rows, width]
  Tensor LayerNorm(Tensor x, Tensor gamma, Tensor beta, float epsilon = 1e-5f);

  // ---- Pooling of [H, W, C].
  Tensor MaxPool(Tensor x, const PoolOptions& options = {});
  Tensor AvgPool(Tensor x, const PoolOptions& options = {});
  Tensor GlobalAvgPool(Tensor x);  // -> [C]

  // ---- Sequences [T, C].
  Tensor Softmax(Tensor x);  // over the last dimension
  // q [T, heads D], k and v [S, key_heads D]; key_mask [S] or none: U8, nonzero = may be attended; F32: added
  // to the scores.
  Tensor Attention(Tensor q, Tensor k, Tensor v, const AttentionOptions& options, Tensor key_mask = {});
  Tensor Rotary(Tensor x, const RotaryOptions& options);  // [T, heads D]

  // ---- Shapes.
  Tensor Reshape(Tensor x, const Dims& shape);  // one entry may be -1
  Tensor Flatten(Tensor x);
  Tensor Transpose(Tensor x, const std::vector<int>& permutation);
  Tensor Concat(const std::vector<Tensor>& parts, int axis);
  Tensor Slice(Tensor x, int axis, int64_t begin, int64_t size);
  Tensor Mean(Tensor x, int axis);  // drops the axis
  Tensor Sum(Tensor x, int axis);   // drops the axis

  // ---- Ends. Losses and metrics are means over all samples of the step, whatever the lanes and ranks.
  // logits [.., V], labels [..], mask as labels. `share` [..], F32: a factor of each row's value that does
  // not count as weight, for soft labels: Loss(CrossEntropy(x, label, {}, s)) and Loss(CrossEntropy(x,
  // other, {}, 1 - s)).
  Tensor CrossEntropy(Tensor logits, Tensor labels, Tensor mask = {}, Tensor share = {});
  Tensor MeanSquaredError(Tensor prediction, Tensor target);
  Tensor Accuracy(Tensor logits, Tensor labels, Tensor mask = {});
  void Loss(Tensor value, float factor = 1);  // several add up
  void Metric(std::string_view name, Tensor value);
  void Output(std::string_view name, Tensor value);  // kept for predictions
  // Ends the run with `message`, a mistake in the configuration or the model's parameters.
  void Fail(std::string_view message);

  // Internal: wraps the builder that really builds, which must outlive this.
  explicit Builder(graph::Builder* graph) : graph_(graph) {}
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

 private:
  std::string LayerName(const char* layer);

  graph::Builder* graph_;
  std::map<std::string, int> layers_;  // how many of each name there are
};

}  // namespace lockstep

#endif  // LOCKSTEP_BUILDER_H_
