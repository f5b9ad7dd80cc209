#include "runtime/data/check_example.h"

#include <cstdint>

#include "runtime/data/example_wire.h"

namespace lockstep::data {
namespace {

// How many bytes a lead byte says a character has, 0 for no lead byte; and what the second byte may be, which
// rules out longer forms than needed, surrogates, and what lies behind U+10FFFF (RFC 3629).
int LengthOf(uint8_t lead, uint8_t* low, uint8_t* high) {
  *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

bool CheckPacked(absl::string_view packed) {
  WireReader reader(packed);
  uint64_t value = 0;
  while (!reader.done()) {
    if (!reader.Varint(&value)) return false;
  }
  return true;
}

bool CheckFeature(absl::string_view feature, int depth) {
  WireReader reader(feature, depth);
  while (!reader.done()) {
    uint32_t kind = 0;
    WireType type;
    absl::string_view list;
    if (!reader.Tag(&kind, &type)) return false;
    if (kind > 3 || type != WireType::kBytes) {
      if (!reader.Skip(kind, type)) return false;
      continue;
    }
    if (!reader.Bytes(&list)) return false;
    const bool whole = ForEachField(list, depth + 1, 1, [kind](absl::string_view bytes) {
      return kind == 1 || (kind == 2 ? bytes.size() % 4 == 0 : CheckPacked(bytes));
    });
    if (!whole) return false;
  }
  return true;
}

// A map's entries, each value by `check`.
template <typename Check>
bool CheckMap(absl::string_view map, const Check& check) {
  return ForEachField(map, 1, 1, [&](absl::string_view entry) {
    WireReader reader(entry, kEntryDepth);
    while (!reader.done()) {
      uint32_t number = 0;
      WireType type;
      absl::string_view bytes;
      if (!reader.Tag(&number, &type)) return false;
      if (number > 2 || type != WireType::kBytes) {
        if (!reader.Skip(number, type)) return false;
        continue;
      }
      if (!reader.Bytes(&bytes)) return false;
      if (!(number == 1 ? IsText(bytes) : check(bytes))) return false;
    }
    return true;
  });
}

bool CheckFeatureMap(absl::string_view map) {
  return CheckMap(map, [](absl::string_view feature) { return CheckFeature(feature, kValueDepth); });
}

bool CheckListMap(absl::string_view map) {
  return CheckMap(map, [](absl::string_view list) {
    return ForEachField(list, kValueDepth, 1,
                        [](absl::string_view feature) { return CheckFeature(feature, kValueDepth + 1); });
  });
}

}  // namespace

bool IsText(absl::string_view text) {
  const auto* at = reinterpret_cast<const uint8_t*>(text.data());
  const auto* const end = at + text.size();
  while (at != end) {
    uint8_t low = 0, high = 0;
    const int length = LengthOf(*at, &low, &high);
    if (length == 0 || end - at < length) return false;
    if (length > 1 && (at[1] < low || at[1] > high)) return false;
    for (int i = 2; i < length; ++i) {
      if ((at[i] & 0xc0) != 0x80) return false;
    }
    at += length;
  }
  return true;
}

bool CheckExample(absl::string_view record) {
  return record.size() <= 0x7fffffff && ForEachField(record, 0, kFeaturesField, CheckFeatureMap);
}

bool CheckSequenceExample(absl::string_view record) {
  // Two passes, each of which steps over what the other reads.
  return record.size() <= 0x7fffffff && ForEachField(record, 0, kFeaturesField, CheckFeatureMap) &&
         ForEachField(record, 0, kFeatureListsField, CheckListMap);
}

}  // namespace lockstep::data
