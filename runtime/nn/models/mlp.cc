#include "runtime/nn/models/mlp.h"

#include "absl/strings/str_cat.h"

namespace lockstep::nn {

graph::Tensor Mlp(graph::Builder& b, graph::Tensor x, const MlpOptions& options) {
  if (b.shape(x).rank() != 1) x = b.Flatten(x);
  for (size_t i = 0; i < options.hidden.size(); ++i) {
    x = Linear(b, absl::StrCat("hidden.", i), x, options.hidden[i]);
    x = Activate(b, options.activation, x);
    if (options.dropout > 0) x = b.Dropout(x, options.dropout);
  }
  return Linear(b, "output", x, options.outputs);
}

}  // namespace lockstep::nn
