// The JSON of a safetensors file, parsed from bytes that are trusted in nothing.
#ifndef LOCKSTEP_RUNTIME_TRAIN_SAFETENSORS_HEADER_H_
#define LOCKSTEP_RUNTIME_TRAIN_SAFETENSORS_HEADER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep::train {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // from the end of the header
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of the text
  std::map<std::string, std::string> metadata;
};

// Syntax only: the object, its fields and their types, each name once. No value tree is built, so the memory
// used is in proportion to what is valid, and nesting deeper than the format's ends the parse. Error:
// DataError.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_SAFETENSORS_HEADER_H_
