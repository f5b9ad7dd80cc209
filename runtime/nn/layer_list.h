// A network written as a list of layers in the configuration: model { layers { ... } }.
#ifndef LOCKSTEP_RUNTIME_NN_LAYER_LIST_H_
#define LOCKSTEP_RUNTIME_NN_LAYER_LIST_H_

#include "runtime/core/status.h"
#include "runtime/graph/builder.h"
#include "runtime/nn/data_spec.h"

namespace lockstep {
class LayerList;  // proto/run_config.pb.h
}

namespace lockstep::nn {

// Applies the layers to x from first to last; the result of the last one. Only LayerList.layer is read.
//
// Parameters are named <place>.<kind>.<parameter>, place counting from 0: "0.conv2d.weight", "7.linear.bias".
// The layers inside a residual follow its name, "3.residual.1.batch_norm.weight", and inside a repeat its
// round, "5.repeat.0.2.conv2d.weight". Kinds with more than one part name it: "4.attention.qkv.weight",
// "4.attention.out.bias". Initial values: linear, conv2d and attention as torch.nn.Linear and Conv2d
// (FanInUniform), norms ones and zeros, embedding N(0, 1) as torch.nn.Embedding, positions N(0, 0.02^2).
//
// Error: the builder's first mistake, as a ConfigError "model.layers.layer[3].conv2d: ...".
absl::StatusOr<graph::Tensor> ApplyLayers(graph::Builder& b, graph::Tensor x, const LayerList& layers,
                                          const DataSpec& data);

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_LAYER_LIST_H_
