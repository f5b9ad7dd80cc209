#include "runtime/api/registration.h"

#include <exception>
#include <string>

#include "absl/strings/str_cat.h"

namespace lockstep::api {
namespace {

// What the configuration gives, behind the installed interface.
class ParamsView final : public Params {
 public:
  explicit ParamsView(const nn::ModelParams& params) : params_(params) {}

  int64_t Int(std::string_view name, int64_t otherwise) const override {
    return params_.Int(View(name), otherwise);
  }
  double Number(std::string_view name, double otherwise) const override {
    return params_.Number(View(name), otherwise);
  }
  bool Flag(std::string_view name, bool otherwise) const override {
    return params_.Flag(View(name), otherwise);
  }
  std::string Text(std::string_view name, std::string_view otherwise) const override {
    return params_.Text(View(name), View(otherwise));
  }

 private:
  static absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

  const nn::ModelParams& params_;
};

void RunModel(const std::string& name, const ModelFunction& model, graph::Builder& graph,
              const nn::ModelParams& params) {
  const auto fail = [&](const char* what) {
    graph.Fail(ConfigError(absl::StrCat("model '", name, "' threw an exception: ", what)));
  };
  if (!model) return graph.Fail(ConfigError(absl::StrCat("model '", name, "' was added without a function")));
  try {
    Builder builder(&graph);
    model(builder, ParamsView(params));
  } catch (const std::exception& exception) {
    fail(exception.what());
  } catch (...) {
    fail("of a type that is no std::exception");
  }
}

}  // namespace

absl::Status RegisterModels(const Models& models, nn::ModelRegistry* registry) {
  for (const auto& [name, model] : models.entries()) {
    RETURN_IF_ERROR(registry->AddModel(
        name, [name = name, model = model](graph::Builder& graph, const nn::ModelParams& params) {
          RunModel(name, model, graph, params);
        }));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::api
