#include "runtime/data/example_wire.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/core/names.h"

namespace lockstep::data {

bool KeyOf(absl::string_view entry, absl::string_view* key) {
  *key = absl::string_view();
  return ForEachField(entry, kEntryDepth, 1, [key](absl::string_view value) {
    *key = value;
    return true;
  });
}

bool FindEntries(absl::string_view record, uint32_t map, const std::vector<FeatureSpec>& features,
                 Entries* entries) {
  entries->assign(features.size(), absl::string_view());
  size_t likely = 0;  // records of a file mostly have their features in one order
  return ForEachEntry(record, map, [&](absl::string_view entry) {
    absl::string_view key;
    if (!KeyOf(entry, &key)) return false;
    for (size_t i = 0; i < features.size(); ++i) {
      const size_t candidate = likely + i < features.size() ? likely + i : likely + i - features.size();
      if (features[candidate].name != key) continue;
      (*entries)[candidate] = entry;
      likely = candidate;
      break;
    }
    return true;
  });
}

absl::Status NotOfKind(absl::string_view kind) {
  return DataError(
      absl::StrCat("the record is not a ", kind, " (its bytes are no protobuf message of that form)"));
}

absl::Status MissingFeature(absl::string_view record, uint32_t map, absl::string_view what,
                            absl::string_view name) {
  std::vector<std::string> known;
  ForEachEntry(record, map, [&](absl::string_view entry) {
    absl::string_view key;
    if (!KeyOf(entry, &key)) return false;
    known.emplace_back(key);
    return known.size() < 1000;
  });
  if (known.empty())
    return DataError(absl::StrCat("there is no ", what, " '", name, "'; the record has no ", what, "s"));
  std::sort(known.begin(), known.end());
  return DataError(absl::StrCat("there is no ", what, " '", name, "'", Suggestion(name, known)));
}

}  // namespace lockstep::data
