#include "runtime/data/record_match.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "proto/example.pb.h"

namespace lockstep::data {
namespace {

template <typename T>
int Compare(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : a == b ? 0 : 2;  // 2: not a number
}

}  // namespace

absl::StatusOr<RecordMatch> RecordMatch::Parse(const std::vector<std::string>& conditions) {
  // The longer ones first: "<=" begins with "<".
  static constexpr std::pair<const char*, Operator> kOperators[] = {
      {"!=", Operator::kNotEqual}, {"<=", Operator::kLessOrEqual}, {">=", Operator::kGreaterOrEqual},
      {"=", Operator::kEqual},     {"<", Operator::kLess},         {">", Operator::kGreater}};
  RecordMatch match;
  for (const std::string& text : conditions) {
    const size_t at = text.find_first_of("!=<>");
    bool known = false;
    for (const auto& [sign, op] : kOperators) {
      if (known || at == std::string::npos || at == 0 ||
          text.compare(at, std::string(sign).size(), sign) != 0)
        continue;
      known = true;
      Condition condition{text.substr(0, at), op, text.substr(at + std::string(sign).size())};
      condition.is_number = absl::SimpleAtod(condition.text, &condition.number);
      match.conditions_.push_back(std::move(condition));
    }
    if (!known)
      return ConfigError(
          absl::StrCat("'", text, "' is not FEATURE=VALUE (or with !=, <, <=, > or >= in place of =)"));
  }
  return match;
}

bool RecordMatch::Holds(const Condition& condition, const records::Features& features) {
  const auto matches = [&](int order) {
    switch (condition.op) {
      case Operator::kEqual:
      case Operator::kNotEqual:  // turned round below
        return order == 0;
      case Operator::kLess:
        return order == -1;
      case Operator::kLessOrEqual:
        return order == -1 || order == 0;
      case Operator::kGreater:
        return order == 1;
      case Operator::kGreaterOrEqual:
        return order == 1 || order == 0;
    }
    return false;
  };
  bool any = false;
  const auto at = features.feature().find(condition.feature);
  if (at != features.feature().end()) {
    const records::Feature& feature = at->second;
    for (const auto& value : feature.bytes_list().value())
      any = any || matches(Compare<std::string>(value, condition.text));
    if (condition.is_number) {
      for (const int64_t value : feature.int64_list().value())
        any = any || matches(Compare(static_cast<double>(value), condition.number));
      for (const float value : feature.float_list().value())  // 0.1 means the float nearest to it
        any = any || matches(Compare(value, static_cast<float>(condition.number)));
    }
  }
  return condition.op == Operator::kNotEqual ? !any : any;
}

bool RecordMatch::Matches(const records::Features& features) const {
  for (const Condition& condition : conditions_) {
    if (!Holds(condition, features)) return false;
  }
  return true;
}

}  // namespace lockstep::data
