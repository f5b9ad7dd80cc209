#include "tests/graph/models.h"

#include <algorithm>

#include "runtime/core/rng.h"

namespace lockstep::graph {

Tensor Dense(Builder& b, absl::string_view scope, Tensor x, int64_t out, bool bias) {
  auto guard = b.Scope(scope);
  const int64_t in = b.shape(x)[-1];
  const Tensor weight = b.Parameter("weight", {out, in}, Initializer::Normal(0.4f));
  return b.Linear(x, weight, bias ? b.Parameter("bias", {out}, Initializer::Normal(0.1f)) : Tensor{});
}

namespace {

Tensor Norm(Builder& b, absl::string_view scope, Tensor x) {
  auto guard = b.Scope(scope);
  const int64_t c = b.shape(x)[-1];
  return b.LayerNorm(x, b.Parameter("weight", {c}, Initializer::Ones()),
                     b.Parameter("bias", {c}, Initializer::Normal(0.1f)));
}

Tensor ConvNorm(Builder& b, absl::string_view scope, Tensor x, int64_t out, int64_t kernel) {
  auto guard = b.Scope(scope);
  const int64_t in = b.shape(x)[-1];
  x = b.Conv2d(x, b.Parameter("weight", {out, in, kernel, kernel}, Initializer::Normal(0.3f)), {},
               Conv2dOptions::Square(1, kernel / 2));
  return b.BatchNorm(x, b.Parameter("gamma", {out}, Initializer::Ones()),
                     b.Parameter("beta", {out}, Initializer::Normal(0.1f)), b.State("running_mean", {out}, 0),
                     b.State("running_var", {out}, 1));
}

void Classify(Builder& b, Tensor logits) {
  Shape rows = b.shape(logits);
  Shape labels;
  for (int i = 0; i + 1 < rows.rank(); ++i) labels.Append(rows[i]);
  const Tensor label = b.Input("label", DType::kI64, labels);
  b.Metric("accuracy", b.Accuracy(logits, label));
  b.Output("logits", logits);
  b.Loss(b.CrossEntropy(logits, label));
}

}  // namespace

void TinyMlp(Builder& b) {
  Tensor x = b.Input("x", DType::kF32, {6});
  x = b.Relu(Dense(b, "fc1", x, 5));
  Classify(b, Dense(b, "fc2", x, 4));
}

void TinyCnn(Builder& b) {
  Tensor x = b.Scale(b.Input("image", DType::kU8, {8, 8, 3}), 0.25f);
  x = b.Relu(ConvNorm(b, "stem", x, 4, 3));
  x = b.MaxPool2d(x, Pool2dOptions::Square(2, 2));
  const Tensor main = ConvNorm(b, "conv2", b.Relu(ConvNorm(b, "conv1", x, 6, 3)), 6, 3);
  x = b.Relu(b.Add(main, ConvNorm(b, "shortcut", x, 6, 1)));
  Classify(b, Dense(b, "head", b.GlobalAvgPool(x), 4));
}

void TinyGpt(Builder& b) {
  const Tensor tokens = b.Input("tokens", DType::kI64, {6});
  const Tensor table = b.Parameter("wte", {4, 8}, Initializer::Normal(0.5f));
  const Tensor positions = b.Parameter("wpe", {9, 8}, Initializer::Normal(0.5f));
  Tensor x = b.Dropout(b.Add(b.Embedding(tokens, table), b.Slice(positions, 0, 0, 6)), 0.1f);
  for (int i = 0; i < 2; ++i) {
    auto block = b.Scope("h", i);
    Tensor y = Dense(b, "qkv", Norm(b, "ln_1", x), 24);
    y = Dense(b, "proj", b.AttentionPacked(y, {.heads = 2, .causal = true}), 8);
    x = b.Add(x, b.Dropout(y, 0.1f));
    y = b.Gelu(Dense(b, "up", Norm(b, "ln_2", x), 32), GeluKind::kTanh);
    x = b.Add(x, b.Dropout(Dense(b, "down", y, 8), 0.1f));
  }
  Classify(b, b.Linear(Norm(b, "ln_f", x), table));
}

void TinyLlama(Builder& b) {
  const Tensor tokens = b.Input("tokens", DType::kI32, {6});
  Tensor x = b.Embedding(tokens, b.Parameter("embed", {4, 16}, Initializer::Normal(0.5f)));
  auto block = b.Scope("block", 0);
  Tensor y = Norm(b, "norm1", x);
  const RotaryOptions rotary{.head_size = 4};
  const Tensor q = b.Rotary(Dense(b, "q", y, 16, false), rotary),
               k = b.Rotary(Dense(b, "k", y, 8, false), rotary);
  y = b.Attention(q, k, Dense(b, "v", y, 8, false), {.heads = 4, .key_heads = 2, .causal = true});
  x = b.Add(x, Dense(b, "o", y, 16, false));
  y = Norm(b, "norm2", x);
  y = b.Mul(b.Silu(Dense(b, "gate", y, 24, false)), Dense(b, "up", y, 24, false));
  Classify(b, Dense(b, "head", b.Add(x, Dense(b, "down", y, 16, false)), 4));
}

void TinyEncoder(Builder& b) {
  Tensor x = b.Input("x", DType::kF32, {5, 8});
  const Tensor mask = b.Input("mask", DType::kU8, {5});
  const Tensor y =
      b.Attention(Dense(b, "q", x, 8), Dense(b, "k", x, 8), Dense(b, "v", x, 8), {.heads = 2}, mask);
  x = Norm(b, "norm", b.Add(x, b.Tanh(y)));
  x = b.Mean(b.Mul(x, b.Sigmoid(Dense(b, "gate", x, 1))), 0);
  const Tensor prediction = Dense(b, "out", x, 3);
  b.Loss(b.MeanSquaredError(prediction, b.Input("target", DType::kF32, {3})));
  b.Loss(b.Square(prediction), 0.01f);
}

void RandomModel(Builder& b, uint64_t seed) {
  uint64_t counter = 0;
  const auto draw = [&](uint64_t limit) { return Mix64(Mix64(seed) + counter++) % limit; };
  const int64_t t = 3, c = 8;
  std::vector<Tensor> pool = {b.Input("x", DType::kF32, {t, c})};
  const auto pick = [&] { return pool[pool.size() - 1 - draw(std::min<uint64_t>(pool.size(), 4))]; };
  const Tensor shared = b.Parameter("shared", {c, c}, Initializer::Normal(0.3f));
  for (uint64_t i = 0, count = 3 + draw(25); i < count; ++i) {
    auto scope = b.Scope("op", static_cast<int64_t>(i));
    const Tensor x = pick();
    switch (draw(11)) {
      case 0:
        pool.push_back(b.Linear(x, shared));
        break;
      case 1: {
        const Tensor w = b.Parameter("w", {c, c}, Initializer::Normal(0.3f));
        pool.push_back(b.Linear(x, w, b.Parameter("b", {c}, Initializer::Zeros())));
        break;
      }
      case 2:
        pool.push_back(b.Add(x, pick()));
        break;
      case 3:
        pool.push_back(b.Mul(x, pick()));
        break;
      case 4:
        pool.push_back(b.Relu(x));
        break;
      case 5:
        pool.push_back(b.Gelu(x));
        break;
      case 6: {
        const Tensor gamma = b.Parameter("gamma", {c}, Initializer::Ones());
        pool.push_back(b.LayerNorm(x, gamma, b.Parameter("beta", {c}, Initializer::Zeros())));
        break;
      }
      case 7:
        pool.push_back(b.Softmax(x));
        break;
      case 8:
        pool.push_back(b.Dropout(x, 0.2f));
        break;
      case 9:
        pool.push_back(b.Reshape(b.Transpose(b.Reshape(x, {t, 2, 4}), {0, 2, 1}), {t, c}));
        break;
      default:
        pool.push_back(
            b.Sub(b.Concat({b.Slice(x, 1, 4, 4), b.Slice(pick(), 1, 0, 4)}, 1), b.Slice(shared, 0, 0, 1)));
    }
  }
  b.Loss(b.Linear(b.Add(pool.back(), pick()), shared));
}

std::vector<NamedModel> TestModels() {
  return {
      {"Mlp", TinyMlp}, {"Cnn", TinyCnn}, {"Gpt", TinyGpt}, {"Llama", TinyLlama}, {"Encoder", TinyEncoder}};
}

}  // namespace lockstep::graph
