#include "runtime/data/feature_values.h"

#include <algorithm>
#include <cstring>

#include "runtime/data/example_wire.h"

namespace lockstep::data {
namespace {

void AddInteger(uint64_t value, FeatureValues* values) {
  if (values->count++ < values->limit) values->integers.push_back(static_cast<int64_t>(value));
}

bool AddPacked(FeatureKind kind, absl::string_view bytes, FeatureValues* values) {
  if (kind == FeatureKind::kBytes) {
    if (values->count++ < values->limit) values->strings.push_back(bytes);
    return true;
  }
  if (kind == FeatureKind::kFloat) {
    if (bytes.size() % 4 != 0) return false;
    const size_t before = values->floats.size();
    const size_t kept = std::min(bytes.size() / 4, values->limit - before);
    values->count += bytes.size() / 4;
    if (kept == 0) return true;
    values->floats.resize(before + kept);
    std::memcpy(values->floats.data() + before, bytes.data(), kept * 4);
    return true;
  }
  WireReader reader(bytes);
  while (!reader.done()) {
    uint64_t value = 0;
    if (!reader.Varint(&value)) return false;
    AddInteger(value, values);
  }
  return true;
}

bool AddList(FeatureKind kind, absl::string_view list, int depth, FeatureValues* values) {
  if (kind != values->kind) {
    values->Clear();
    values->kind = kind;
  }
  WireReader reader(list, depth);
  while (!reader.done()) {
    uint32_t number = 0;
    WireType type;
    absl::string_view bytes;
    if (!reader.Tag(&number, &type)) return false;
    if (number == 1 && type == WireType::kBytes) {
      if (!reader.Bytes(&bytes) || !AddPacked(kind, bytes, values)) return false;
    } else if (number == 1 && type == WireType::kVarint && kind == FeatureKind::kInt64) {
      uint64_t value = 0;
      if (!reader.Varint(&value)) return false;
      AddInteger(value, values);
    } else if (number == 1 && type == WireType::kFixed32 && kind == FeatureKind::kFloat) {
      const char* value = nullptr;
      if (!reader.Fixed(4, &value) || !AddPacked(kind, {value, 4}, values)) return false;
    } else if (!reader.Skip(number, type)) {
      return false;
    }
  }
  return true;
}

}  // namespace

void FeatureValues::Clear() {
  kind = FeatureKind::kNone;
  count = 0;
  strings.clear();
  floats.clear();
  integers.clear();
}

bool FeatureValues::ReadEntry(absl::string_view entry) {
  return ForEachField(entry, kEntryDepth, 2,
                      [this](absl::string_view feature) { return ReadFeature(feature, kValueDepth); });
}

bool FeatureValues::ReadFeature(absl::string_view feature, int depth) {
  WireReader reader(feature, depth);
  while (!reader.done()) {
    uint32_t number = 0;
    WireType type;
    absl::string_view list;
    if (!reader.Tag(&number, &type)) return false;
    if (number >= 1 && number <= 3 && type == WireType::kBytes) {
      if (!reader.Bytes(&list) || !AddList(static_cast<FeatureKind>(number), list, depth + 1, this))
        return false;
    } else if (!reader.Skip(number, type)) {
      return false;
    }
  }
  return true;
}

}  // namespace lockstep::data
