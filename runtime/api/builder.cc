#include "lockstep/builder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/graph/builder.h"
#include "runtime/nn/layers.h"

namespace lockstep {
namespace {

graph::Tensor In(Tensor x) { return {x.id}; }
Tensor Out(graph::Tensor x) { return {x.id}; }
absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

DType ToDType(ElementType type) {
  switch (type) {
    case ElementType::kF32:
      return DType::kF32;
    case ElementType::kI32:
      return DType::kI32;
    case ElementType::kI64:
      return DType::kI64;
    case ElementType::kU8:
      return DType::kU8;
  }
  return DType::kF32;
}

// A scalar, and the builder's failure, where the dimensions are none. -1 passes only where `free_entry`
// allows it.
Shape ToShape(graph::Builder& b, const Dims& dims, bool free_entry = false) {
  Dims checked = dims;
  int free_entries = 0;
  for (int64_t& size : checked) {
    if (free_entry && size == -1 && ++free_entries == 1) size = 1;
  }
  absl::StatusOr<Shape> shape = Shape::FromDims(checked);
  if (!shape.ok()) {
    b.Fail(ConfigError(shape.status().message()));
    return {};
  }
  for (size_t i = 0; i < dims.size(); ++i) {
    if (free_entry && dims[i] == -1) shape->Set(static_cast<int>(i), -1);
  }
  return *shape;
}

graph::Initializer ToInitializer(const Initial& initial) {
  switch (initial.kind) {
    case Initial::Kind::kConstant:
      return graph::Initializer::Constant(initial.value);
    case Initial::Kind::kUniform:
      return graph::Initializer::Uniform(initial.value);
    case Initial::Kind::kNormal:
      return graph::Initializer::Normal(initial.value);
  }
  return graph::Initializer::Zeros();
}

int64_t PaddingOf(const Conv2dOptions& o, int64_t kernel) {
  return o.padding < 0 ? (kernel - 1) * o.dilation / 2 : o.padding;
}

graph::Pool2dOptions ToPool(const PoolOptions& o) {
  return graph::Pool2dOptions::Square(o.size, o.stride == 0 ? o.size : o.stride, o.padding);
}

}  // namespace

struct Builder::ScopeGuard::State {
  graph::Builder::ScopeGuard guard;
};

Builder::ScopeGuard::ScopeGuard(std::unique_ptr<State> state) : state_(std::move(state)) {}
Builder::ScopeGuard::ScopeGuard(ScopeGuard&& other) noexcept = default;
Builder::ScopeGuard::~ScopeGuard() = default;

Builder::ScopeGuard Builder::Scope(std::string_view name) {
  return ScopeGuard(std::make_unique<ScopeGuard::State>(ScopeGuard::State{graph_->Scope(View(name))}));
}
Builder::ScopeGuard Builder::Scope(std::string_view name, int64_t index) {
  return ScopeGuard(std::make_unique<ScopeGuard::State>(ScopeGuard::State{graph_->Scope(View(name), index)}));
}

std::string Builder::LayerName(const char* layer) {
  const int before = layers_[absl::StrCat(graph_->scope(), layer)]++;
  return before == 0 ? std::string(layer) : absl::StrCat(layer, "_", before);
}

// ---- Sources

Tensor Builder::Input(std::string_view name, ElementType type, const Dims& shape) {
  return Out(graph_->Input(View(name), ToDType(type), ToShape(*graph_, shape)));
}
Tensor Builder::Parameter(std::string_view name, const Dims& shape, const Initial& initial) {
  return Out(graph_->Parameter(View(name), ToShape(*graph_, shape), ToInitializer(initial)));
}
Dims Builder::shape(Tensor x) const {
  const Shape shape = graph_->shape(In(x));
  return Dims(shape.dims().begin(), shape.dims().end());
}
int64_t Builder::micro_batch() const { return graph_->micro_batch(); }

// ---- Layers

Tensor Builder::Linear(Tensor x, int64_t features, bool bias) {
  nn::LinearOptions options;
  options.bias = bias;
  return Out(nn::Linear(*graph_, LayerName("linear"), In(x), features, options));
}
Tensor Builder::Conv2d(Tensor x, const Conv2dOptions& o) {
  nn::ConvOptions options;
  options.stride = o.stride;
  options.padding = PaddingOf(o, o.kernel);
  options.dilation = o.dilation;
  options.groups = o.groups;
  options.bias = o.bias;
  return Out(nn::Conv2d(*graph_, LayerName("conv2d"), In(x), o.channels, o.kernel, options));
}
Tensor Builder::BatchNorm(Tensor x, const BatchNormOptions& o) {
  return Out(
      nn::BatchNorm(*graph_, LayerName("batch_norm"), In(x), {.epsilon = o.epsilon, .momentum = o.momentum}));
}
Tensor Builder::LayerNorm(Tensor x, float epsilon) {
  return Out(nn::LayerNorm(*graph_, LayerName("layer_norm"), In(x), epsilon));
}
Tensor Builder::Embedding(Tensor ids, int64_t rows, int64_t width) {
  return Out(nn::Embedding(*graph_, LayerName("embedding"), In(ids), rows, width));
}
Tensor Builder::Positions(Tensor x) {
  const Shape shape = graph_->shape(In(x));
  const int64_t rows = shape.rank() == 2 ? shape[0] : 0;  // another rank is refused by the layer
  return Out(nn::LearnedPositions(*graph_, LayerName("positions"), In(x), rows, 0.02f));
}
Tensor Builder::SelfAttention(Tensor x, const SelfAttentionOptions& o) {
  nn::SelfAttentionOptions options;
  options.heads = o.heads;
  options.causal = o.causal;
  options.rotary = o.rotary;
  return Out(nn::SelfAttention(*graph_, LayerName("attention"), In(x), options));
}

// ---- Element by element

Tensor Builder::Add(Tensor a, Tensor b) { return Out(graph_->Add(In(a), In(b))); }
Tensor Builder::Sub(Tensor a, Tensor b) { return Out(graph_->Sub(In(a), In(b))); }
Tensor Builder::Mul(Tensor a, Tensor b) { return Out(graph_->Mul(In(a), In(b))); }
Tensor Builder::Div(Tensor a, Tensor b) { return Out(graph_->Div(In(a), In(b))); }
Tensor Builder::Maximum(Tensor a, Tensor b) { return Out(graph_->Maximum(In(a), In(b))); }
Tensor Builder::Minimum(Tensor a, Tensor b) { return Out(graph_->Minimum(In(a), In(b))); }
Tensor Builder::Scale(Tensor x, float factor) { return Out(graph_->Scale(In(x), factor)); }
Tensor Builder::Shift(Tensor x, float offset) { return Out(graph_->Shift(In(x), offset)); }
Tensor Builder::Neg(Tensor x) { return Out(graph_->Neg(In(x))); }
Tensor Builder::Abs(Tensor x) { return Out(graph_->Abs(In(x))); }
Tensor Builder::Square(Tensor x) { return Out(graph_->Square(In(x))); }
Tensor Builder::Sqrt(Tensor x) { return Out(graph_->Sqrt(In(x))); }
Tensor Builder::Exp(Tensor x) { return Out(graph_->Exp(In(x))); }
Tensor Builder::Log(Tensor x) { return Out(graph_->Log(In(x))); }
Tensor Builder::Relu(Tensor x) { return Out(graph_->Relu(In(x))); }
Tensor Builder::Gelu(Tensor x) { return Out(graph_->Gelu(In(x), graph::GeluKind::kErf)); }
Tensor Builder::GeluTanh(Tensor x) { return Out(graph_->Gelu(In(x), graph::GeluKind::kTanh)); }
Tensor Builder::Tanh(Tensor x) { return Out(graph_->Tanh(In(x))); }
Tensor Builder::Sigmoid(Tensor x) { return Out(graph_->Sigmoid(In(x))); }
Tensor Builder::Silu(Tensor x) { return Out(graph_->Silu(In(x))); }
Tensor Builder::Dropout(Tensor x, float rate) { return Out(graph_->Dropout(In(x), rate)); }
Tensor Builder::ToFloat(Tensor x) { return Out(graph_->ToFloat(In(x))); }

// ---- Products

Tensor Builder::Linear(Tensor x, Tensor weight, Tensor bias) {
  return Out(graph_->Linear(In(x), In(weight), In(bias)));
}
Tensor Builder::MatMul(Tensor a, Tensor b, bool transpose_a, bool transpose_b) {
  return Out(graph_->MatMul(In(a), In(b), transpose_a, transpose_b));
}
Tensor Builder::Conv2d(Tensor x, Tensor weight, Tensor bias, const Conv2dOptions& o) {
  const Shape shape = graph_->shape(In(weight));
  graph::Conv2dOptions options =
      graph::Conv2dOptions::Square(o.stride, PaddingOf(o, shape.rank() == 4 ? shape[-1] : 1));
  options.dilation_h = options.dilation_w = o.dilation;
  options.groups = o.groups;
  return Out(graph_->Conv2d(In(x), In(weight), In(bias), options));
}
Tensor Builder::Embedding(Tensor ids, Tensor table) { return Out(graph_->Embedding(In(ids), In(table))); }
Tensor Builder::LayerNorm(Tensor x, Tensor gamma, Tensor beta, float epsilon) {
  return Out(graph_->LayerNorm(In(x), In(gamma), In(beta), epsilon));
}

// ---- Pooling

Tensor Builder::MaxPool(Tensor x, const PoolOptions& o) { return Out(graph_->MaxPool2d(In(x), ToPool(o))); }
Tensor Builder::AvgPool(Tensor x, const PoolOptions& o) { return Out(graph_->AvgPool2d(In(x), ToPool(o))); }
Tensor Builder::GlobalAvgPool(Tensor x) { return Out(graph_->GlobalAvgPool(In(x))); }

// ---- Sequences

Tensor Builder::Softmax(Tensor x) { return Out(graph_->Softmax(In(x))); }
Tensor Builder::Attention(Tensor q, Tensor k, Tensor v, const AttentionOptions& o, Tensor key_mask) {
  return Out(graph_->Attention(
      In(q), In(k), In(v), {.heads = o.heads, .key_heads = o.key_heads, .causal = o.causal, .scale = o.scale},
      In(key_mask)));
}
Tensor Builder::Rotary(Tensor x, const RotaryOptions& o) {
  return Out(graph_->Rotary(In(x), {.head_size = o.head_size, .rotary_size = o.rotary_size, .base = o.base}));
}

// ---- Shapes

Tensor Builder::Reshape(Tensor x, const Dims& shape) {
  return Out(graph_->Reshape(In(x), ToShape(*graph_, shape, /*free_entry=*/true)));
}
Tensor Builder::Flatten(Tensor x) { return Out(graph_->Flatten(In(x))); }
Tensor Builder::Transpose(Tensor x, const std::vector<int>& permutation) {
  return Out(graph_->Transpose(In(x), permutation));
}
Tensor Builder::Concat(const std::vector<Tensor>& parts, int axis) {
  std::vector<graph::Tensor> inner;
  for (Tensor part : parts) inner.push_back(In(part));
  return Out(graph_->Concat(inner, axis));
}
Tensor Builder::Slice(Tensor x, int axis, int64_t begin, int64_t size) {
  return Out(graph_->Slice(In(x), axis, begin, size));
}
Tensor Builder::Mean(Tensor x, int axis) { return Out(graph_->Mean(In(x), axis)); }
Tensor Builder::Sum(Tensor x, int axis) { return Out(graph_->Sum(In(x), axis)); }

// ---- Ends

Tensor Builder::CrossEntropy(Tensor logits, Tensor labels, Tensor mask, Tensor share) {
  return Out(graph_->CrossEntropy(In(logits), In(labels), In(mask), In(share)));
}
Tensor Builder::MeanSquaredError(Tensor prediction, Tensor target) {
  return Out(graph_->MeanSquaredError(In(prediction), In(target)));
}
Tensor Builder::Accuracy(Tensor logits, Tensor labels, Tensor mask) {
  return Out(graph_->Accuracy(In(logits), In(labels), In(mask)));
}
void Builder::Loss(Tensor value, float factor) { graph_->Loss(In(value), factor); }
void Builder::Metric(std::string_view name, Tensor value) { graph_->Metric(View(name), In(value)); }
void Builder::Output(std::string_view name, Tensor value) { graph_->Output(View(name), In(value)); }
void Builder::Fail(std::string_view message) { graph_->Fail(ConfigError(View(message))); }

}  // namespace lockstep
