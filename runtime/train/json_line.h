// A JSON object on one line, with its fields in the order they are added.
#ifndef LOCKSTEP_RUNTIME_TRAIN_JSON_LINE_H_
#define LOCKSTEP_RUNTIME_TRAIN_JSON_LINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep::train {

// The shortest decimal that reads back as the same double. REQUIRES: finite.
std::string JsonNumber(double value);
// "text" with quotes and escapes; bytes that are not UTF-8 become U+FFFD.
std::string JsonString(absl::string_view text);

// Number(name, NaN) adds `"name": null, "name_text": "nan"`, for JSON has neither NaN nor infinity.
class JsonLine {
 public:
  JsonLine& Integer(absl::string_view name, int64_t value);
  JsonLine& Number(absl::string_view name, double value);
  JsonLine& String(absl::string_view name, absl::string_view value);
  JsonLine& Integers(absl::string_view name, absl::Span<const int64_t> values);
  JsonLine& Raw(absl::string_view name, absl::string_view json);  // `json` as it is
  JsonLine& Object(absl::string_view name, const JsonLine& object);

  std::string Text() const { return text_ + "}"; }  // {"step": 1, "loss": 0.5}
  std::string PrettyText() const;                   // the same, one field a line, with a newline at the end

 private:
  void Name(absl::string_view name);
  std::string text_ = "{";
  std::vector<size_t> starts_;  // of the fields in text_
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_JSON_LINE_H_
