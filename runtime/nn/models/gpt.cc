#include "runtime/nn/models/gpt.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "runtime/nn/layers.h"

namespace lockstep::nn {
namespace {

using graph::Builder;
using graph::Initializer;
using graph::Tensor;

constexpr float kStddev = 0.02f;

Tensor Dropout(Builder& b, Tensor x, float rate) { return rate > 0 ? b.Dropout(x, rate) : x; }

Tensor Block(Builder& b, Tensor x, const GptOptions& options) {
  const Initializer wide = Initializer::Normal(kStddev), zeros = Initializer::Zeros();
  const Initializer back =
      Initializer::Normal(static_cast<float>(kStddev / std::sqrt(2.0 * static_cast<double>(options.layers))));
  SelfAttentionOptions attention{.heads = options.heads, .causal = true, .rotary = options.rotary};
  attention.qkv_name = "c_attn";
  attention.out_name = "c_proj";
  attention.qkv_init = wide;
  attention.out_init = back;
  attention.bias_init = zeros;
  Tensor y = SelfAttention(b, "attn", LayerNorm(b, "ln_1", x), attention);
  x = b.Add(x, Dropout(b, y, options.dropout));
  y = LayerNorm(b, "ln_2", x);
  auto scope = b.Scope("mlp");
  y = Linear(b, "c_fc", y, 4 * options.width, {.weight_init = wide, .bias_init = zeros});
  y = Linear(b, "c_proj", b.Gelu(y, graph::GeluKind::kTanh), options.width,
             {.weight_init = back, .bias_init = zeros});
  return b.Add(x, Dropout(b, y, options.dropout));
}

absl::Status CheckOptions(const GptOptions& o, const Shape& ids) {
  if (o.layers < 1 || o.width < 1 || o.heads < 1 || o.vocabulary < 1 || o.context < 0) {
    return ConfigError("model.gpt: layers, width, heads, vocabulary and context must be at least 1");
  }
  if (o.layers > 10000 || static_cast<double>(o.vocabulary) * static_cast<double>(o.width) > 1e12) {
    return ConfigError("model.gpt: layers, or vocabulary times width, is too large");
  }
  if (o.width % o.heads != 0) {
    return ConfigError(absl::StrCat("model.gpt: heads ", o.heads, " must divide width ", o.width));
  }
  if (ids.rank() != 1) {
    return ConfigError(
        absl::StrCat("model.gpt wants token ids [length] as input; the data gives ", ids.ToString()));
  }
  if (o.context > 0 && ids[0] > o.context) {
    return ConfigError(absl::StrCat("model.gpt.context is ", o.context, ", shorter than the input of ",
                                    ids[0], " tokens; set it to at least ", ids[0], " or leave it out"));
  }
  return absl::OkStatus();
}

}  // namespace

Tensor Gpt(Builder& b, Tensor ids, const GptOptions& options) {
  if (!b.ok()) return {};
  if (const absl::Status status = CheckOptions(options, b.shape(ids)); !status.ok()) {
    b.Fail(status);
    return {};
  }
  const int64_t context = options.context > 0 ? options.context : b.shape(ids)[0];
  const Initializer wide = Initializer::Normal(kStddev);
  Tensor x, output_weight;
  {
    auto scope = b.Scope("transformer");
    output_weight = b.Parameter("wte.weight", {options.vocabulary, options.width}, wide);
    x = b.Embedding(ids, output_weight);
    if (!options.rotary) x = LearnedPositions(b, "wpe", x, context, kStddev);
    x = Dropout(b, x, options.dropout);
    for (int64_t i = 0; i < options.layers; ++i) {
      auto block = b.Scope("h", i);
      x = Block(b, x, options);
    }
    x = LayerNorm(b, "ln_f", x);
  }
  if (!options.tied) output_weight = b.Parameter("lm_head.weight", {options.vocabulary, options.width}, wide);
  return b.Linear(x, output_weight);
}

}  // namespace lockstep::nn
