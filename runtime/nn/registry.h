// Models by name. A registry is an object that the program owns: there is no global one.
//
//   ModelRegistry registry = BuiltinModels();                 // runtime/nn/models/builtin.h
//   RETURN_IF_ERROR(registry.AddModel("part_net", PartNet));  // a user's own
//   ... BuildModel(config.model(), ..., registry) ...         // runtime/nn/build_model.h
//
// Not thread-safe while it is filled; const use from any thread.
#ifndef LOCKSTEP_RUNTIME_NN_REGISTRY_H_
#define LOCKSTEP_RUNTIME_NN_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/graph/builder.h"
#include "runtime/nn/data_spec.h"
#include "runtime/nn/params.h"

namespace lockstep {
class ModelConfig;  // proto/run_config.pb.h
}

namespace lockstep::nn {

// A whole model: declares its inputs (by the names of the data's fields), its parameters, loss and metrics.
using ModelFunction = std::function<void(graph::Builder&, const ModelParams&)>;

// What a network is told besides its input.
struct NetworkRequest {
  const ModelConfig& config;
  const ModelParams& params;  // model.param of the configuration
  const DataSpec& data;
};

// The part of a model between input and loss, which the configuration adds. Returns the output: logits [..,
// V] for cross_entropy, a prediction of the label's shape for mean_squared_error. Mistakes go to
// Builder::Fail.
using NetworkFunction =
    std::function<graph::Tensor(graph::Builder&, graph::Tensor input, const NetworkRequest&)>;

class ModelRegistry {
 public:
  struct Entry {  // exactly one is set
    ModelFunction model = {};
    NetworkFunction network = {};
  };

  // Errors: ConfigError when the name is empty or taken.
  absl::Status AddModel(absl::string_view name, ModelFunction model);
  absl::Status AddNetwork(absl::string_view name, NetworkFunction network);

  // Error: ConfigError with the nearest known names. The pointer lives as long as the registry is not
  // changed.
  absl::StatusOr<const Entry*> Find(absl::string_view name) const;
  std::vector<std::string> Names() const;  // sorted

 private:
  absl::Status Add(absl::string_view name, Entry entry);

  std::map<std::string, Entry> entries_;
};

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_REGISTRY_H_
