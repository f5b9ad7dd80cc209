#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/train/config.h"
#include "runtime/train/config_internal.h"

namespace lockstep::train {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kNoIndex = -1;

// One component of a path, "conv2d" or "layer[2]".
struct Step {
  std::string name;
  int index = kNoIndex;
};

absl::StatusOr<Step> ParseStep(absl::string_view text) {
  const size_t open = text.find('[');
  if (open == absl::string_view::npos) return Step{std::string(text)};
  Step step{std::string(text.substr(0, open))};
  absl::string_view digits = text.substr(open + 1);
  if (!absl::ConsumeSuffix(&digits, "]") || !absl::SimpleAtoi(digits, &step.index) || step.index < 0) {
    return ConfigError(absl::StrCat("'", text, "': an index is written name[0]"));
  }
  return step;
}

absl::StatusOr<const FieldDescriptor*> FindField(const Message& message, const Step& step) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(step.name);
  if (field == nullptr) return ConfigError(UnknownFieldText(*message.GetDescriptor(), step.name));
  if (message.GetDescriptor() == LayerList::descriptor() && field->message_type() != Layer::descriptor()) {
    return ConfigError(
        absl::StrCat("layers are addressed in their order: layer[0].", step.name, ", layer[1]. ..."));
  }
  if (!field->is_repeated() && step.index != kNoIndex) {
    return ConfigError(absl::StrCat("'", step.name, "' is not a list and takes no index"));
  }
  const int size = field->is_repeated() ? message.GetReflection()->FieldSize(message, field) : 0;
  if (step.index > size)
    return ConfigError(absl::StrCat("'", step.name, "[", step.index, "]': there are ", size));
  return field;
}

// The message that `step` names, made where it is missing or one past the end.
absl::StatusOr<Message*> Descend(Message* message, const Step& step) {
  ASSIGN_OR_RETURN(const FieldDescriptor* field, FindField(*message, step));
  if (field->message_type() == nullptr) {
    return ConfigError(absl::StrCat("'", step.name, "' is a value and has no fields"));
  }
  const Reflection* reflection = message->GetReflection();
  if (!field->is_repeated()) return reflection->MutableMessage(message, field);
  if (step.index == kNoIndex) {
    return ConfigError(absl::StrCat("'", step.name, "' is a list: say which entry, ", step.name, "[0]"));
  }
  if (step.index == reflection->FieldSize(*message, field)) return reflection->AddMessage(message, field);
  return reflection->MutableRepeatedMessage(message, field, step.index);
}

// `value` as text format writes a value of this field. Quotes around strings and braces around messages may
// be left out.
std::string ValueText(const FieldDescriptor& field, absl::string_view value) {
  if (field.message_type() != nullptr) {
    return absl::StartsWith(value, "{") || absl::StartsWith(value, "[") ? std::string(value)
                                                                        : absl::StrCat("{", value, "}");
  }
  const bool quoted = absl::StartsWith(value, "\"") || absl::StartsWith(value, "'");
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && !quoted && !absl::StartsWith(value, "[")) {
    return absl::StrCat("\"", absl::CEscape(value), "\"");
  }
  return std::string(value);
}

// Parses "field: value" into a fresh message of the same type as `message`, so that a bad value changes
// nothing.
absl::StatusOr<std::unique_ptr<Message>> ParseAlone(const Message& message, const FieldDescriptor& field,
                                                    absl::string_view value) {
  std::unique_ptr<Message> alone(message.New());
  const std::string text =
      absl::StrCat(field.name(), field.message_type() != nullptr ? " " : ": ", ValueText(field, value));
  RETURN_IF_ERROR(ParseMessageText(text, "", alone.get()));
  std::vector<const FieldDescriptor*> set;
  alone->GetReflection()->ListFields(*alone, &set);
  if (set.size() > 1) return ConfigError("the value sets more than this field");
  return alone;
}

// Puts the only entry of `alone` at `index` of the list in `message`, where `index` may be one past the end.
absl::Status ReplaceEntry(Message* message, const FieldDescriptor* field, int index, Message* alone) {
  const Reflection* reflection = message->GetReflection();
  if (reflection->FieldSize(*alone, field) != 1) return ConfigError("one value is needed for one entry");
  const int size = reflection->FieldSize(*message, field);
  message->MergeFrom(*alone);  // appends
  reflection->SwapElements(message, field, index, size);
  if (index < size) reflection->RemoveLast(message, field);
  return absl::OkStatus();
}

absl::Status SetField(Message* message, const Step& step, absl::string_view value) {
  ASSIGN_OR_RETURN(const FieldDescriptor* field, FindField(*message, step));
  ASSIGN_OR_RETURN(const std::unique_ptr<Message> alone, ParseAlone(*message, *field, value));
  if (step.index != kNoIndex) return ReplaceEntry(message, field, step.index, alone.get());
  message->GetReflection()->ClearField(message, field);
  message->MergeFrom(*alone);
  return absl::OkStatus();
}

absl::Status Apply(RunConfig* config, absl::string_view path, absl::string_view value) {
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  Message* message = config;
  for (size_t i = 0; i < names.size(); ++i) {
    ASSIGN_OR_RETURN(const Step step, ParseStep(names[i]));
    if (i + 1 == names.size()) return SetField(message, step, value);
    ASSIGN_OR_RETURN(message, Descend(message, step));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ApplySetting(RunConfig* config, absl::string_view setting) {
  const size_t equals = setting.find('=');
  if (equals == absl::string_view::npos || equals == 0) {
    return ConfigError(absl::StrCat("--set ", setting, ": write field.path=value, for example lanes=16"));
  }
  RunConfig changed = *config;
  const absl::string_view path = absl::StripAsciiWhitespace(setting.substr(0, equals));
  RETURN_IF_ERROR(Annotate(Apply(&changed, path, absl::StripAsciiWhitespace(setting.substr(equals + 1))),
                           absl::StrCat("--set ", setting)));
  config->Swap(&changed);
  return absl::OkStatus();
}

}  // namespace lockstep::train
