// GPT-2 (Radford et al., 2019): pre-norm transformer blocks with causal attention and tanh-GELU.
#ifndef LOCKSTEP_RUNTIME_NN_MODELS_GPT_H_
#define LOCKSTEP_RUNTIME_NN_MODELS_GPT_H_

#include <cstdint>

#include "runtime/graph/builder.h"

namespace lockstep::nn {

struct GptOptions {
  int64_t layers = 6, width = 384, heads = 6, vocabulary = 256;
  int64_t context = 0;  // rows of the position table; 0: the length of the input
  float dropout = 0;    // of the embeddings and of both branches of a block
  bool rotary = false;  // rotary positions on q and k instead of a learned table
  bool tied = true;     // the output layer shares wte
};

// ids [T] -> logits [T, vocabulary]. Names as in Hugging Face's GPT2LMHeadModel:
// transformer.wte.weight, transformer.wpe.weight,
// transformer.h.<i>.{ln_1,attn.c_attn,attn.c_proj,ln_2,mlp.c_fc,mlp.c_proj}.{weight,bias},
// transformer.ln_f.{weight,bias}, lm_head.weight unless tied. There the c_ weights are stored [in, out]
// (Conv1D); here they are [out, in] as every linear layer: transpose them when exchanging weights. Initial
// values as GPT-2's: N(0, 0.02^2), the two projections back into the residual stream divided by sqrt(2
// layers), biases 0.
graph::Tensor Gpt(graph::Builder& b, graph::Tensor ids, const GptOptions& options);

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_MODELS_GPT_H_
