// Shared by the files of runtime/train/config*; nobody else includes it.
#ifndef LOCKSTEP_RUNTIME_TRAIN_CONFIG_INTERNAL_H_
#define LOCKSTEP_RUNTIME_TRAIN_CONFIG_INTERNAL_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep::train {

// Parses text format into `message` (cleared first) and puts layers in order. Errors: "SOURCE:LINE:COLUMN:
// what".
absl::Status ParseMessageText(absl::string_view text, absl::string_view source,
                              google::protobuf::Message* message);

// Moves the directly written layers of every LayerList inside `message` into the ordered field `layer`, by
// their place in the text. `tree` is what the parser recorded of `text`.
absl::Status OrderLayers(google::protobuf::Message* message,
                         const google::protobuf::TextFormat::ParseInfoTree* tree, absl::string_view text,
                         absl::string_view source);

// The byte of `text` that the tokenizer calls `place`: both parts count from 0, a tab ends at the next
// multiple of 8.
size_t OffsetOf(absl::string_view text, const google::protobuf::TextFormat::ParseLocation& place);

// "RunConfig has no field 'lr'; did you mean ...", and where else in the schema a field of that name is.
std::string UnknownFieldText(const google::protobuf::Descriptor& type, absl::string_view field);

// "'FP31' is no Precision; did you mean 'FP32'?"
std::string UnknownEnumText(const google::protobuf::EnumDescriptor& type, absl::string_view value);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CONFIG_INTERNAL_H_
