#include "runtime/nn/params.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/core/names.h"

namespace lockstep::nn {

absl::Status ModelParams::Insert(absl::string_view name, Value value) {
  if (name.empty()) return ConfigError("model.param: a parameter has no name");
  if (!values_.emplace(std::string(name), std::move(value)).second) {
    return ConfigError(absl::StrCat("model.param '", name, "' is given twice"));
  }
  return absl::OkStatus();
}

absl::Status ModelParams::Set(absl::string_view name, double number) {
  return Insert(name, {.number = number});
}

absl::Status ModelParams::Set(absl::string_view name, absl::string_view text) {
  return Insert(name, {.is_text = true, .text = std::string(text)});
}

void ModelParams::Fail(absl::string_view name, absl::string_view message) const {
  if (status_.ok()) status_ = ConfigError(absl::StrCat("model.param '", name, "': ", message));
}

const ModelParams::Value* ModelParams::Ask(absl::string_view name, bool is_text) const {
  asked_[std::string(name)] = true;
  const auto found = values_.find(std::string(name));
  if (found == values_.end()) return nullptr;
  if (found->second.is_text != is_text) {
    Fail(name, is_text ? "wants `text`, not `number`" : "wants `number`, not `text`");
    return nullptr;
  }
  return &found->second;
}

double ModelParams::Number(absl::string_view name, double otherwise) const {
  const Value* value = Ask(name, false);
  return value == nullptr ? otherwise : value->number;
}

int64_t ModelParams::Int(absl::string_view name, int64_t otherwise) const {
  const Value* value = Ask(name, false);
  if (value == nullptr) return otherwise;
  // Doubles up to 2^53 hold every whole number; the comparison also refuses NaN.
  if (!(std::abs(value->number) <= 0x1p53) || value->number != std::floor(value->number)) {
    Fail(name, absl::StrCat(value->number, " is not a whole number"));
    return otherwise;
  }
  return static_cast<int64_t>(value->number);
}

bool ModelParams::Flag(absl::string_view name, bool otherwise) const {
  const int64_t value = Int(name, otherwise ? 1 : 0);
  if (value != 0 && value != 1) Fail(name, absl::StrCat(value, " is neither 0 nor 1"));
  return value == 1;
}

std::string ModelParams::Text(absl::string_view name, absl::string_view otherwise) const {
  const Value* value = Ask(name, true);
  return value == nullptr ? std::string(otherwise) : value->text;
}

absl::Status ModelParams::Check() const {
  RETURN_IF_ERROR(status_);
  std::vector<std::string> known;
  for (const auto& [name, yes] : asked_) known.push_back(name);
  for (const auto& [name, value] : values_) {
    if (asked_.count(name) > 0) continue;
    if (known.empty())
      return ConfigError(absl::StrCat("model.param '", name, "': this model has no parameters"));
    return ConfigError(
        absl::StrCat("model.param '", name, "': the model does not ask for it", Suggestion(name, known)));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::nn
