// Walking through the bytes of a tf.train.Example or SequenceExample: its maps, entry by entry.
//
//   record    Example { Features features = 1 }
//             SequenceExample { Features context = 1; FeatureLists feature_lists = 2 }
//   maps      Features { map<string, Feature> feature = 1 }
//             FeatureLists { map<string, FeatureList> feature_list = 1 }
//   entries   { string key = 1; Feature or FeatureList value = 2 }
#ifndef LOCKSTEP_RUNTIME_DATA_EXAMPLE_WIRE_H_
#define LOCKSTEP_RUNTIME_DATA_EXAMPLE_WIRE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/feature_spec.h"
#include "runtime/data/wire.h"

namespace lockstep::data {

// Fields of a record that are maps.
inline constexpr uint32_t kFeaturesField = 1;      // of an Example; the context of a SequenceExample
inline constexpr uint32_t kFeatureListsField = 2;  // of a SequenceExample
// Messages around an entry of either map, and around the value in it.
inline constexpr int kEntryDepth = 2, kValueDepth = 3;

// visit(value) for every field `wanted` of the message `bytes` that holds bytes. False where the bytes are no
// message, or visit says so.
template <typename Visit>
bool ForEachField(absl::string_view bytes, int depth, uint32_t wanted, const Visit& visit) {
  WireReader reader(bytes, depth);
  while (!reader.done()) {
    uint32_t number = 0;
    WireType type;
    absl::string_view value;
    if (!reader.Tag(&number, &type)) return false;
    if (number == wanted && type == WireType::kBytes) {
      if (!reader.Bytes(&value) || !visit(value)) return false;
    } else if (!reader.Skip(number, type)) {
      return false;
    }
  }
  return true;
}

// visit(entry) for every entry of the map in field `map` of `record`.
template <typename Visit>
bool ForEachEntry(absl::string_view record, uint32_t map, const Visit& visit) {
  return ForEachField(record, 0, map,
                      [&](absl::string_view entries) { return ForEachField(entries, 1, 1, visit); });
}

// The key of a map entry; the last one where it is repeated, "" where there is none.
bool KeyOf(absl::string_view entry, absl::string_view* key);

// For each wanted feature the last entry of its name; data() == nullptr where there is none.
using Entries = absl::InlinedVector<absl::string_view, 8>;
// False where the record's bytes are no such message.
bool FindEntries(absl::string_view record, uint32_t map, const std::vector<FeatureSpec>& features,
                 Entries* entries);

// Errors of a record: DataErrors. `kind`: "tf.train.Example".
absl::Status NotOfKind(absl::string_view kind);
// `what`: "feature" or "feature list".
absl::Status MissingFeature(absl::string_view record, uint32_t map, absl::string_view what,
                            absl::string_view name);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_EXAMPLE_WIRE_H_
