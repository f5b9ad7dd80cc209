// protobuf keeps no order between different repeated fields, and a network is nothing but an order. So the
// place of each layer in the text, which the parser can record, decides.

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "proto/run_config.pb.h"
#include "runtime/train/config_internal.h"

namespace lockstep::train {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;
using Tree = TextFormat::ParseInfoTree;

struct Entry {
  TextFormat::ParseLocation place;
  const FieldDescriptor* field;  // of LayerList
  int index;
};

struct Source {
  absl::string_view text, name;
};

// Whether the field at `at` is written as a list, `relu: [{}, {}]`, whose members the parser gives no places.
bool IsListForm(absl::string_view text, size_t at) {
  while (at < text.size() && (absl::ascii_isalnum(text[at]) || text[at] == '_')) ++at;
  while (at < text.size() && (absl::ascii_isspace(text[at]) || text[at] == ':' || text[at] == '#')) {
    if (text[at] == '#') at = std::min(text.find('\n', at), text.size() - 1);
    ++at;
  }
  return at < text.size() && text[at] == '[';
}

absl::Status OrderOneList(LayerList* list, const Tree& tree, const Source& source) {
  const Reflection* reflection = list->GetReflection();
  std::vector<Entry> entries;
  for (int f = 0; f < LayerList::descriptor()->field_count(); ++f) {
    const FieldDescriptor* field = LayerList::descriptor()->field(f);
    for (int i = 0; i < reflection->FieldSize(*list, field); ++i) {
      const TextFormat::ParseLocation place = tree.GetLocation(field, i);
      if (place.line < 0 || IsListForm(source.text, OffsetOf(source.text, place))) {
        return ConfigError(absl::StrCat(source.name, place.line < 0 ? "" : absl::StrCat(":", place.line + 1),
                                        ": write each layer by itself, '", field->name(), " { ... } ",
                                        field->name(), " { ... }', not as a list in [ ]"));
      }
      entries.push_back({place, field, i});
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.place.line, a.place.column) < std::tie(b.place.line, b.place.column);
  });
  LayerList ordered;
  for (const Entry& entry : entries) {
    const Message& layer = reflection->GetRepeatedMessage(*list, entry.field, entry.index);
    if (entry.field->message_type() == Layer::descriptor()) {
      ordered.add_layer()->MergeFrom(layer);
      continue;
    }
    Layer* wrapped = ordered.add_layer();
    const FieldDescriptor* kind = Layer::descriptor()->FindFieldByNumber(entry.field->number());
    wrapped->GetReflection()->MutableMessage(wrapped, kind)->MergeFrom(layer);
  }
  list->Swap(&ordered);
  return absl::OkStatus();
}

// Inner lists first: their places are found through `tree`, which knows the message as it was written.
absl::Status Order(Message* message, const Tree* tree, const Source& source) {
  if (tree == nullptr) return absl::OkStatus();
  const Reflection* reflection = message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->message_type() == nullptr) continue;
    if (!field->is_repeated()) {
      RETURN_IF_ERROR(
          Order(reflection->MutableMessage(message, field), tree->GetTreeForNested(field, -1), source));
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
      RETURN_IF_ERROR(Order(reflection->MutableRepeatedMessage(message, field, i),
                            tree->GetTreeForNested(field, i), source));
    }
  }
  if (message->GetDescriptor() != LayerList::descriptor()) return absl::OkStatus();
  return OrderOneList(static_cast<LayerList*>(message), *tree, source);
}

}  // namespace

size_t OffsetOf(absl::string_view text, const TextFormat::ParseLocation& place) {
  size_t at = 0;
  for (int line = 0; line < place.line && at < text.size(); ++at) line += text[at] == '\n';
  for (int column = 0; column < place.column && at < text.size(); ++at) {
    column += text[at] == '\t' ? 8 - column % 8 : 1;
  }
  return at;
}

absl::Status OrderLayers(Message* message, const Tree* tree, absl::string_view text,
                         absl::string_view source) {
  return Order(message, tree, {text, source});
}

}  // namespace lockstep::train
