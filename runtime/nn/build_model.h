// From the configuration's `model` and `loss` to the graph of a lane program.
//
//   DataSpec data{.input = {"image", {DType::kF32, {8, 8, 1}}},
//                 .label = {"label", {DType::kI64, {}}}, .classes = 10};
//   ASSIGN_OR_RETURN(graph::Graph graph,
//                    BuildModel(config.model(), config.loss(), data, micro_batch, registry));
//
// The graph has the data's input and label as its inputs, one loss, and for cross_entropy the metric
// "accuracy"; the network's output is the graph's output "output" (logits or prediction). Bits per byte are
// loss / ln 2, left to the caller. A model that a user registered whole (ModelRegistry::AddModel) declares
// all of this itself.
#ifndef LOCKSTEP_RUNTIME_NN_BUILD_MODEL_H_
#define LOCKSTEP_RUNTIME_NN_BUILD_MODEL_H_

#include <cstdint>

#include "runtime/core/status.h"
#include "runtime/graph/graph.h"
#include "runtime/nn/data_spec.h"
#include "runtime/nn/registry.h"

namespace lockstep {
class LossConfig;  // proto/run_config.pb.h
class ModelConfig;
}  // namespace lockstep

namespace lockstep::nn {

// Pure; thread-safe. Errors: ConfigError naming the field, for layers the place in the list and the shapes:
//   model.layers[3].conv2d: kernel 5 is larger than the 4x4 input (padding 0)
// `config` is as train::ParseConfig leaves it: layers in LayerList.layer.
absl::StatusOr<graph::Graph> BuildModel(const ModelConfig& config, const LossConfig& loss,
                                        const DataSpec& data, int64_t micro_batch,
                                        const ModelRegistry& registry);

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_BUILD_MODEL_H_
