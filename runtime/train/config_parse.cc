#include <google/protobuf/io/tokenizer.h>

#include <algorithm>
#include <deque>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/core/names.h"
#include "runtime/data/text/tokenizer.h"
#include "runtime/train/config.h"
#include "runtime/train/config_internal.h"

namespace lockstep::train {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::TextFormat;

constexpr int kDeepestNesting = 100;  // of messages; a file is untrusted and the parser recurses
constexpr size_t kLargestConfigBytes = 16 << 20;

std::vector<std::string> FieldNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return names;
}

// Visits every field that can be reached from RunConfig, nearest first, with its path; layers as users write
// them.
template <typename Visit>
void VisitSchema(const Visit& visit) {
  std::deque<std::pair<const Descriptor*, std::string>> pending = {{RunConfig::descriptor(), ""}};
  std::set<const Descriptor*> seen = {LayerList::descriptor()->file()->FindMessageTypeByName("Layer")};
  while (!pending.empty()) {
    const auto [type, prefix] = pending.front();
    pending.pop_front();
    if (!seen.insert(type).second) continue;
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      const std::string path = absl::StrCat(prefix, prefix.empty() ? "" : ".", field->name());
      visit(*field, path);
      if (field->message_type() != nullptr) pending.emplace_back(field->message_type(), path);
    }
  }
}

// The text between the first pair of double quotes at or after *from, which moves behind it.
std::string NextQuoted(absl::string_view text, size_t* from) {
  const size_t open = text.find('"', *from);
  if (open == absl::string_view::npos) return "";
  const size_t close = text.find('"', open + 1);
  if (close == absl::string_view::npos) return "";
  *from = close + 1;
  return std::string(text.substr(open + 1, close - open - 1));
}

// An enum field's type, by the name that the parser's message gives; names of enum fields are unique in the
// schema.
const EnumDescriptor* EnumOfField(absl::string_view field_name) {
  const EnumDescriptor* found = nullptr;
  VisitSchema([&](const FieldDescriptor& field, const std::string&) {
    if (found == nullptr && field.enum_type() != nullptr && field.name() == field_name)
      found = field.enum_type();
  });
  return found;
}

// The parser's message in our words, with the names that would have been right. `culprit` becomes the word of
// the text that is wrong, where the message gives it.
std::string Reword(const std::string& message, std::string* culprit) {
  size_t at = 0;
  const std::string first = NextQuoted(message, &at);
  const std::string second = NextQuoted(message, &at);
  if (absl::StartsWith(message, "Message type") && absl::StrContains(message, "has no field named")) {
    *culprit = second;
    const Descriptor* type = RunConfig::descriptor()->file()->pool()->FindMessageTypeByName(first);
    if (type != nullptr) return UnknownFieldText(*type, second);
  }
  if (absl::StartsWith(message, "Unknown enumeration value of")) {
    *culprit = first;
    if (const EnumDescriptor* type = EnumOfField(second)) {
      return absl::StrCat("field '", second, "': ", UnknownEnumText(*type, first));
    }
  }
  if (absl::StartsWith(message, "Expected string, got: "))
    return absl::StrCat(message, " (strings stand in quotes)");
  return message;
}

// Keeps the first error; what follows is mostly its echo. An empty source gives messages without places.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  FirstError(absl::string_view text, absl::string_view source) : text_(text), source_(source) {}

  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    if (!error_.empty()) return;
    std::string culprit;
    error_ = Reword(message, &culprit);
    if (absl::StrContains(message, "recursion limit")) {
      error_ = absl::StrCat("nested too deep: messages may stand ", kDeepestNesting,
                            " levels inside each other, which a residual or repeat layer uses two of; "
                            "repeat { times: N } stacks layers without nesting them");
    }
    if (source_.empty()) return;
    const std::string place = line < 0 ? "" : Place({line, column}, culprit);
    error_ = absl::StrCat(source_, place, ": ", error_);
  }
  const std::string& error() const { return error_; }

 private:
  // The parser stands behind the word when it complains of it, possibly lines behind.
  std::string Place(TextFormat::ParseLocation place, const std::string& culprit) const {
    const size_t behind = OffsetOf(text_, place);
    const size_t at = culprit.empty() || behind == 0 ? text_.npos : text_.rfind(culprit, behind - 1);
    if (at == text_.npos) return absl::StrCat(":", place.line + 1, ":", place.column + 1);
    const absl::string_view before = text_.substr(0, at);
    const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    return absl::StrCat(":", std::count(before.begin(), before.end(), '\n') + 1, ":", at - line_start + 1);
  }

  absl::string_view text_, source_;
  std::string error_;
};

}  // namespace

std::string UnknownFieldText(const Descriptor& type, absl::string_view field) {
  std::string text = absl::StrCat(type.name(), " has no field '", field, "'");
  std::vector<std::string> elsewhere;
  VisitSchema([&](const FieldDescriptor& other, const std::string& path) {
    if (other.name() == field && elsewhere.size() < 3) elsewhere.push_back(path);
  });
  if (NearestNames(field, FieldNames(type)).empty() && !elsewhere.empty()) {
    return absl::StrCat(text, "; a field of that name is ", absl::StrJoin(elsewhere, ", "));
  }
  return absl::StrCat(text, Suggestion(field, FieldNames(type)));
}

std::string UnknownEnumText(const EnumDescriptor& type, absl::string_view value) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
  return absl::StrCat(
      "'", value, "' is no ", type.name(), Suggestion(value, names),
      NearestNames(value, names).empty() ? "" : absl::StrCat(" (known: ", absl::StrJoin(names, ", "), ")"));
}

absl::Status ParseMessageText(absl::string_view text, absl::string_view source,
                              google::protobuf::Message* message) {
  FirstError error(text, source);
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.WriteLocationsTo(&tree);
  parser.SetRecursionLimit(kDeepestNesting);
  if (!parser.ParseFromString(std::string(text), message)) {
    return ConfigError(error.error().empty() ? absl::StrCat(source, ": not a valid configuration")
                                             : error.error());
  }
  return OrderLayers(message, &tree, text, source);
}

absl::StatusOr<RunConfig> ParseConfig(absl::string_view text, absl::string_view source) {
  RunConfig config;
  RETURN_IF_ERROR(ParseMessageText(text, source, &config));
  return config;
}

namespace {

// The one default that a file decides: the model and its checks must know how many tokens there are.
absl::Status FillVocabulary(const std::string& config_path, FileSystem* fs, RunConfig* config) {
  const TextData& text = config->data().text();
  if (text.tokenizer().empty() || text.has_vocabulary()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string path, LocateConfigPath(text.tokenizer(), config_path, fs));
  ASSIGN_OR_RETURN(const auto tokenizer, data::Tokenizer::Load(fs, path));
  config->mutable_data()->mutable_text()->set_vocabulary(tokenizer->vocabulary_size());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunConfig> LoadConfig(const std::string& path, absl::Span<const std::string> settings,
                                     FileSystem* fs) {
  auto file = fs->Open(path);
  if (!file.ok()) return ConfigError(absl::StrCat("configuration: ", file.status().message()));
  if ((*file)->size_bytes() > kLargestConfigBytes) {
    return ConfigError(absl::StrCat(path, ": ", (*file)->size_bytes(), " bytes are no run configuration"));
  }
  std::string text((*file)->size_bytes(), '\0');
  const absl::Status read = (*file)->ReadAt(0, text.data(), text.size());
  if (!read.ok()) return ConfigError(absl::StrCat("configuration: ", read.message()));
  ASSIGN_OR_RETURN(RunConfig config, ParseConfig(text, path));
  for (const std::string& setting : settings) RETURN_IF_ERROR(ApplySetting(&config, setting));
  RETURN_IF_ERROR(FillVocabulary(path, fs, &config));
  return config;
}

}  // namespace lockstep::train
