#include "runtime/nn/registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/core/names.h"

namespace lockstep::nn {

absl::Status ModelRegistry::Add(absl::string_view name, Entry entry) {
  if (name.empty()) return ConfigError("a model needs a name to be registered under");
  if (!entries_.emplace(std::string(name), std::move(entry)).second) {
    return ConfigError(absl::StrCat("a model named '", name, "' is registered already"));
  }
  return absl::OkStatus();
}

absl::Status ModelRegistry::AddModel(absl::string_view name, ModelFunction model) {
  return Add(name, {.model = std::move(model)});
}

absl::Status ModelRegistry::AddNetwork(absl::string_view name, NetworkFunction network) {
  return Add(name, {.network = std::move(network)});
}

absl::StatusOr<const ModelRegistry::Entry*> ModelRegistry::Find(absl::string_view name) const {
  const auto found = entries_.find(std::string(name));
  if (found != entries_.end()) return &found->second;
  return ConfigError(absl::StrCat("model.name: no model is called '", name, "'", Suggestion(name, Names())));
}

std::vector<std::string> ModelRegistry::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

}  // namespace lockstep::nn
