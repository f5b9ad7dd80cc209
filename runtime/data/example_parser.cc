#include "runtime/data/example_parser.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "runtime/core/names.h"
#include "runtime/data/feature_decoder.h"
#include "runtime/data/wire.h"

namespace lockstep::data {
namespace {

absl::Status NotAnExample() {
  return DataError("the record is not a tf.train.Example (its bytes are no protobuf message of that form)");
}

// The key of a map entry; the last one where it is repeated, "" where there is none.
bool KeyOf(absl::string_view entry, absl::string_view* key) {
  *key = absl::string_view();
  WireReader reader(entry);
  while (!reader.done()) {
    uint32_t number = 0;
    WireType type;
    if (!reader.Tag(&number, &type)) return false;
    if (number == 1 && type == WireType::kBytes) {
      if (!reader.Bytes(key)) return false;
    } else if (!reader.Skip(number, type)) {
      return false;
    }
  }
  return true;
}

// visit(entry) for every map entry of every `features` field of the Example. False where the bytes are no
// such message.
template <typename Visit>
bool ForEachEntry(absl::string_view record, Visit visit) {
  WireReader example(record);
  while (!example.done()) {
    uint32_t number = 0;
    WireType type;
    absl::string_view bytes;
    if (!example.Tag(&number, &type)) return false;
    if (number != 1 || type != WireType::kBytes) {
      if (!example.Skip(number, type)) return false;
      continue;
    }
    if (!example.Bytes(&bytes)) return false;
    WireReader features(bytes);
    while (!features.done()) {
      absl::string_view entry;
      if (!features.Tag(&number, &type)) return false;
      if (number == 1 && type == WireType::kBytes) {
        if (!features.Bytes(&entry) || !visit(entry)) return false;
      } else if (!features.Skip(number, type)) {
        return false;
      }
    }
  }
  return true;
}

absl::Status MissingFeature(absl::string_view record, const std::string& name) {
  std::vector<std::string> known;
  ForEachEntry(record, [&](absl::string_view entry) {
    absl::string_view key;
    if (!KeyOf(entry, &key)) return false;
    known.emplace_back(key);
    return known.size() < 1000;
  });
  if (known.empty())
    return DataError(absl::StrCat("there is no feature '", name, "'; the record has no features"));
  std::sort(known.begin(), known.end());
  return DataError(absl::StrCat("there is no feature '", name, "'", Suggestion(name, known)));
}

// For each name the last entry of that name; data() == nullptr where there is none.
using Entries = absl::InlinedVector<absl::string_view, 8>;

absl::Status FindEntries(absl::string_view record, const std::vector<FeatureSpec>& features,
                         Entries* entries) {
  entries->assign(features.size(), absl::string_view());
  size_t likely = 0;  // records of a file mostly have their features in one order
  const bool whole = ForEachEntry(record, [&](absl::string_view entry) {
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
  return whole ? absl::OkStatus() : NotAnExample();
}

absl::Status CheckSpec(const FeatureSpec& spec) {
  const DType dtype = spec.type.dtype;
  const std::string name = absl::StrCat("feature '", spec.name, "'");
  if (dtype != DType::kU8 && dtype != DType::kI32 && dtype != DType::kI64 && dtype != DType::kF32) {
    return ConfigError(
        absl::StrCat(name, " cannot be read as ", lockstep::NameOf(dtype), "; use U8, I32, I64 or F32"));
  }
  if (dtype != DType::kF32 && (spec.scale != 1 || spec.offset != 0)) {
    return ConfigError(absl::StrCat(name, ": scale and offset need F32, not ", lockstep::NameOf(dtype)));
  }
  if (spec.classes < 0 || (spec.classes > 0 && dtype == DType::kF32)) {
    return ConfigError(absl::StrCat(name, ": classes need an integer type and a number above 0"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ExampleParser> ExampleParser::Create(std::vector<FeatureSpec> features) {
  for (size_t i = 0; i < features.size(); ++i) {
    RETURN_IF_ERROR(CheckSpec(features[i]));
    for (size_t j = 0; j < i; ++j) {
      if (features[i].name == features[j].name) {
        return ConfigError(absl::StrCat("feature '", features[i].name, "' is given twice"));
      }
    }
  }
  return ExampleParser(std::move(features));
}

absl::Status ExampleParser::Parse(absl::string_view record, absl::Span<std::byte* const> outputs) const {
  Entries entries;
  RETURN_IF_ERROR(FindEntries(record, features_, &entries));
  for (size_t i = 0; i < features_.size(); ++i) {
    if (entries[i].data() == nullptr) return MissingFeature(record, features_[i].name);
    FeatureDecoder decoder(features_[i], outputs[i]);
    if (!decoder.Read(entries[i])) return NotAnExample();
    RETURN_IF_ERROR(decoder.Finish());
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> BytesFeature(absl::string_view record, absl::string_view name) {
  const std::vector<FeatureSpec> wanted = {{.name = std::string(name), .type = {DType::kU8, Shape{0}}}};
  Entries entries;
  RETURN_IF_ERROR(FindEntries(record, wanted, &entries));
  if (entries[0].data() == nullptr) return MissingFeature(record, wanted[0].name);
  FeatureDecoder decoder(wanted[0], nullptr);
  if (!decoder.Read(entries[0])) return NotAnExample();
  if (decoder.kind() == FeatureKind::kBytes && decoder.strings() == 1) return decoder.string();
  return DataError(absl::StrCat(
      "feature '", name, "' is not one string of bytes (it holds ", NameOf(decoder.kind()),
      decoder.kind() == FeatureKind::kBytes ? absl::StrCat(" of ", decoder.strings()) : "", ")"));
}

}  // namespace lockstep::data
