// Parameters that a configuration gives to a model written in C++: model { param { name: "blocks" number: 3 }
// }.
#ifndef LOCKSTEP_RUNTIME_NN_PARAMS_H_
#define LOCKSTEP_RUNTIME_NN_PARAMS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep::nn {

// A model asks by name with a default. The first mistake is kept (status()), so that asking needs no checks:
// a value of the wrong kind, a fraction where a whole number is wanted, and (Check) a given name that the
// model never asked for. Not thread-safe.
class ModelParams {
 public:
  // Error: ConfigError when the name is empty or was given before.
  absl::Status Set(absl::string_view name, double number);
  absl::Status Set(absl::string_view name, absl::string_view text);

  int64_t Int(absl::string_view name, int64_t otherwise) const;
  double Number(absl::string_view name, double otherwise) const;
  bool Flag(absl::string_view name, bool otherwise) const;  // a number, 0 or 1
  std::string Text(absl::string_view name, absl::string_view otherwise) const;

  bool Has(absl::string_view name) const { return values_.count(std::string(name)) > 0; }

  // The first mistake, or that a given parameter was never asked for. Call it when the model is built.
  absl::Status Check() const;

 private:
  struct Value {
    bool is_text = false;
    double number = 0;
    std::string text = {};
  };

  absl::Status Insert(absl::string_view name, Value value);
  const Value* Ask(absl::string_view name, bool is_text) const;
  void Fail(absl::string_view name, absl::string_view message) const;

  std::map<std::string, Value> values_;
  mutable std::map<std::string, bool> asked_;  // names that the model knows
  mutable absl::Status status_;
};

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_PARAMS_H_
