#include "runtime/data/example_parser.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "runtime/data/example_wire.h"
#include "runtime/data/feature_decoder.h"
#include "runtime/data/feature_values.h"
#include "runtime/data/ragged_rows.h"

namespace lockstep::data {
namespace {

constexpr char kExample[] = "tf.train.Example";

absl::Status ParseRagged(absl::string_view kind, const FeatureSpec& spec, absl::string_view entry,
                         absl::Span<std::byte* const> out) {
  FeatureValues values;
  values.limit = static_cast<size_t>(spec.ragged_rows) + 1;  // one more than there may be
  if (!values.ReadEntry(entry)) return NotOfKind(kind);
  if (values.kind != FeatureKind::kNone && values.kind != FeatureKind::kBytes) {
    return FeatureError(
        spec, absl::StrCat("is ragged, so its rows are strings, but it holds ", NameOf(values.kind)));
  }
  RaggedRows rows(spec, out[0], out[1], out[2]);
  for (const absl::string_view string : values.strings) {
    ElementStore store(spec, rows.next(), rows.room());
    if (!store.AddString(string) || !store.all_fit()) {
      return FeatureError(spec, absl::StrCat("holds a string of ", string.size(),
                                             " bytes that cannot become elements of ", spec.type.ToString()));
    }
    RETURN_IF_ERROR(rows.Add(store.count()));
  }
  rows.Finish();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ExampleParser> ExampleParser::Create(std::vector<FeatureSpec> features) {
  RETURN_IF_ERROR(CheckFeatures(features));
  return ExampleParser(std::move(features));
}

absl::Status ExampleParser::Parse(absl::string_view record, absl::Span<std::byte* const> outputs) const {
  return ParseAs(kExample, record, outputs);
}

absl::Status ExampleParser::ParseAs(absl::string_view kind, absl::string_view record,
                                    absl::Span<std::byte* const> outputs) const {
  Entries entries;
  if (!FindEntries(record, kFeaturesField, features_, &entries)) return NotOfKind(kind);
  size_t extra = features_.size();  // the next output that is no feature
  for (size_t i = 0; i < features_.size(); ++i) {
    const FeatureSpec& spec = features_[i];
    if (spec.ragged_rows > 0) {
      std::byte* const out[] = {outputs[i], outputs[extra], outputs[extra + 1]};
      RETURN_IF_ERROR(ParseRagged(kind, spec, entries[i], out));
      extra += 2;
      continue;
    }
    FeatureDecoder decoder(spec, outputs[i], spec.type.shape.NumElements(), kValueDepth);
    if (!decoder.Read(entries[i])) return NotOfKind(kind);
    if (spec.variable) {
      RETURN_IF_ERROR(decoder.FinishVariable());
      RETURN_IF_ERROR(FinishRows(spec, decoder.count(), outputs[i], outputs[extra++]));
    } else if (decoder.kind() == FeatureKind::kNone && !spec.fallback.empty()) {
      UseFallback(spec, outputs[i]);
    } else if (entries[i].data() == nullptr) {
      return MissingFeature(record, kFeaturesField, "feature", spec.name);
    } else {
      RETURN_IF_ERROR(decoder.FinishFixed());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> BytesFeature(absl::string_view record, absl::string_view name) {
  const std::vector<FeatureSpec> wanted = {{.name = std::string(name), .type = {DType::kU8, Shape{0}}}};
  Entries entries;
  if (!FindEntries(record, kFeaturesField, wanted, &entries)) return NotOfKind(kExample);
  if (entries[0].data() == nullptr) return MissingFeature(record, kFeaturesField, "feature", name);
  FeatureDecoder decoder(wanted[0], nullptr, 0, kValueDepth);
  if (!decoder.Read(entries[0])) return NotOfKind(kExample);
  if (decoder.kind() == FeatureKind::kBytes && decoder.strings() == 1) return decoder.string();
  return DataError(absl::StrCat(
      "feature '", name, "' is not one string of bytes (it holds ", NameOf(decoder.kind()),
      decoder.kind() == FeatureKind::kBytes ? absl::StrCat(" of ", decoder.strings()) : "", ")"));
}

}  // namespace lockstep::data
