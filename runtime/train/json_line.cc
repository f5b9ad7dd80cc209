#include "runtime/train/json_line.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace lockstep::train {

std::string JsonNumber(double value) {
  if (value == 0 && std::signbit(value))
    return "-0.0";  // "-0" would be read as an integer, which has no sign
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return std::string(buffer, end);
}

std::string JsonString(absl::string_view text) {
  return nlohmann::json(std::string(text)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void JsonLine::Name(absl::string_view name) {
  if (!starts_.empty()) text_ += ", ";
  starts_.push_back(text_.size());
  absl::StrAppend(&text_, JsonString(name), ": ");
}

JsonLine& JsonLine::Integer(absl::string_view name, int64_t value) {
  Name(name);
  absl::StrAppend(&text_, value);
  return *this;
}

JsonLine& JsonLine::Number(absl::string_view name, double value) {
  Name(name);
  if (std::isfinite(value)) {
    text_ += JsonNumber(value);
    return *this;
  }
  text_ += "null";
  return String(absl::StrCat(name, "_text"), std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

JsonLine& JsonLine::String(absl::string_view name, absl::string_view value) {
  Name(name);
  text_ += JsonString(value);
  return *this;
}

JsonLine& JsonLine::Integers(absl::string_view name, absl::Span<const int64_t> values) {
  Name(name);
  text_ += "[";
  for (size_t i = 0; i < values.size(); ++i) absl::StrAppend(&text_, i > 0 ? ", " : "", values[i]);
  text_ += "]";
  return *this;
}

JsonLine& JsonLine::Raw(absl::string_view name, absl::string_view json) {
  Name(name);
  absl::StrAppend(&text_, json);
  return *this;
}

JsonLine& JsonLine::Object(absl::string_view name, const JsonLine& object) {
  Name(name);
  text_ += object.Text();
  return *this;
}

std::string JsonLine::PrettyText() const {
  std::string pretty = "{\n";
  for (size_t i = 0; i < starts_.size(); ++i) {
    const bool last = i + 1 == starts_.size();
    const size_t end = last ? text_.size() : starts_[i + 1] - 2;  // without the ", "
    absl::StrAppend(&pretty, "  ", text_.substr(starts_[i], end - starts_[i]), last ? "\n" : ",\n");
  }
  return pretty + "}\n";
}

}  // namespace lockstep::train
