#include "runtime/train/recipe_diff.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace lockstep::train {
namespace {

constexpr size_t kMaxNesting = 64;

// Splits text format into names, values, strings and punctuation; comments and commas are left out.
class Words {
 public:
  explicit Words(absl::string_view text) : text_(text) {}

  // The next word, empty at the end.
  absl::string_view Next() {
    SkipSpace();
    if (text_.empty()) return text_;
    const char first = text_.front();
    if (first == '"' || first == '\'') return Take(QuotedLength(first));
    if (IsPunctuation(first)) return Take(1);
    size_t length = 0;
    while (length < text_.size() && !EndsWord(text_[length])) ++length;
    return Take(length);
  }

 private:
  static bool IsPunctuation(char c) {
    return c == '{' || c == '}' || c == '<' || c == '>' || c == ':' || c == '[' || c == ']';
  }
  static bool IsSpace(char c) { return absl::ascii_isspace(c) || c == ',' || c == ';'; }
  static bool EndsWord(char c) { return IsSpace(c) || IsPunctuation(c) || c == '"' || c == '\'' || c == '#'; }

  void SkipSpace() {
    while (!text_.empty() && (IsSpace(text_.front()) || text_.front() == '#')) {
      text_.remove_prefix(text_.front() == '#' ? std::min(text_.find('\n'), text_.size()) : 1);
    }
  }
  size_t QuotedLength(char quote) const {
    size_t at = 1;
    while (at < text_.size() && text_[at] != quote) at += text_[at] == '\\' ? 2 : 1;
    return std::min(at + 1, text_.size());
  }
  absl::string_view Take(size_t length) {
    const absl::string_view word = text_.substr(0, length);
    text_.remove_prefix(length);
    return word;
  }

  absl::string_view text_;
};

// One message that is open: its path and how often each field has come in it.
struct Level {
  std::string path;
  std::map<std::string, int> counts;

  std::string PathOf(absl::string_view field) {
    const int index = counts[std::string(field)]++;
    return absl::StrCat(path, path.empty() ? "" : ".", field, index > 0 ? absl::StrCat("[", index, "]") : "");
  }
};

}  // namespace

FlatRecipe FlattenText(absl::string_view textproto) {
  FlatRecipe flat;
  Words words(textproto);
  std::vector<Level> levels(1);
  std::string field;  // waiting for its value
  bool in_list = false;
  for (absl::string_view word = words.Next(); !word.empty(); word = words.Next()) {
    if (word == "}" || word == ">") {
      if (levels.size() == 1) break;
      levels.pop_back();
      if (!in_list) field.clear();
    } else if (word == "{" || word == "<") {
      if (field.empty() || levels.size() == kMaxNesting) break;
      Level inner{levels.back().PathOf(field), {}};
      levels.push_back(std::move(inner));
      field.clear();
    } else if (word == "[" || word == "]") {
      in_list = word == "[";
      if (!in_list) field.clear();
    } else if (word == ":") {
      if (field.empty()) break;
    } else if (field.empty()) {
      field = std::string(word);
    } else {
      flat.emplace_back(levels.back().PathOf(field), std::string(word));
      if (!in_list) field.clear();
    }
  }
  return flat;
}

std::vector<std::string> RecipeDiff(const FlatRecipe& before, const FlatRecipe& after) {
  constexpr char kUnset[] = "(unset)";
  const std::map<std::string, std::string> old_values(before.begin(), before.end());
  const std::map<std::string, std::string> new_values(after.begin(), after.end());
  std::vector<std::string> lines;
  for (const auto& [path, value] : before) {
    const auto found = new_values.find(path);
    if (found == new_values.end()) {
      lines.push_back(absl::StrCat(path, ": ", value, " -> ", kUnset));
    } else if (found->second != value) {
      lines.push_back(absl::StrCat(path, ": ", value, " -> ", found->second));
    }
  }
  for (const auto& [path, value] : after) {
    if (old_values.count(path) == 0) lines.push_back(absl::StrCat(path, ": ", kUnset, " -> ", value));
  }
  return lines;
}

}  // namespace lockstep::train
