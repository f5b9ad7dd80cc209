#include "runtime/data/sequence_parser.h"

#include "absl/strings/str_cat.h"
#include "runtime/data/example_wire.h"
#include "runtime/data/feature_decoder.h"
#include "runtime/data/ragged_rows.h"

namespace lockstep::data {
namespace {

constexpr char kSequenceExample[] = "tf.train.SequenceExample";
constexpr int kStepDepth = kValueDepth + 1;

// visit(feature) -> absl::Status for every step of the list in a map entry.
template <typename Visit>
absl::Status ForEachStep(absl::string_view entry, const Visit& visit) {
  absl::Status status;
  const bool whole = ForEachField(entry, kEntryDepth, 2, [&](absl::string_view list) {
    return ForEachField(list, kValueDepth, 1, [&](absl::string_view feature) {
      status = visit(feature);
      return status.ok();
    });
  });
  return !status.ok() || whole ? status : NotOfKind(kSequenceExample);
}

absl::Status AtStep(const absl::Status& status, int64_t step) {
  return status.ok() ? status : Annotate(status, absl::StrCat("step ", step));
}

// Steps of equal size; how many there were to *steps.
absl::Status ParseSteps(const FeatureSpec& spec, const FeatureSpec& step, absl::string_view entry,
                        std::byte* out, int64_t* steps) {
  const int64_t most = spec.type.shape[0], size = step.type.shape.NumElements();
  *steps = 0;
  return ForEachStep(entry, [&](absl::string_view feature) -> absl::Status {
    if (*steps == most) {
      return FeatureError(
          spec, absl::StrCat("has more than ", most, " steps; wanted ", spec.variable ? "at most " : "", most,
                             " (", spec.type.ToString(), ")"));
    }
    FeatureDecoder decoder(step, out, size, kStepDepth);
    if (!decoder.ReadFeature(feature)) return NotOfKind(kSequenceExample);
    RETURN_IF_ERROR(AtStep(decoder.FinishFixed(), *steps));
    out += static_cast<size_t>(size) * SizeOf(spec.type.dtype);
    ++*steps;
    return absl::OkStatus();
  });
}

absl::Status ParseRaggedSteps(const FeatureSpec& spec, absl::string_view entry,
                              absl::Span<std::byte* const> out) {
  RaggedRows rows(spec, out[0], out[1], out[2]);
  int64_t step = 0;
  RETURN_IF_ERROR(ForEachStep(entry, [&](absl::string_view feature) -> absl::Status {
    FeatureDecoder decoder(spec, rows.next(), rows.room(), kStepDepth);
    if (!decoder.ReadFeature(feature)) return NotOfKind(kSequenceExample);
    RETURN_IF_ERROR(AtStep(decoder.FinishRow(), step++));
    return rows.Add(decoder.count());
  }));
  rows.Finish();
  return absl::OkStatus();
}

absl::Status CheckLists(const std::vector<FeatureSpec>& lists) {
  RETURN_IF_ERROR(CheckFeatures(lists));
  for (const FeatureSpec& spec : lists) {
    if (spec.type.shape.rank() < 1 || spec.type.shape[0] < 1) {
      return ConfigError(absl::StrCat("feature list '", spec.name, "': its shape ",
                                      spec.type.shape.ToString(), " must begin with the number of steps"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

SequenceParser::SequenceParser(ExampleParser context, std::vector<FeatureSpec> lists)
    : context_(std::move(context)), lists_(std::move(lists)), outputs_(context_.outputs()) {
  for (const InputSpec& output : OutputsOf(lists_)) outputs_.push_back(output);
  for (const FeatureSpec& list : lists_) {
    FeatureSpec& step = steps_.emplace_back(list);
    step.type.shape = Shape();
    for (const int64_t dim : list.type.shape.dims().subspan(1)) step.type.shape.Append(dim);
    step.variable = false;
  }
}

absl::StatusOr<SequenceParser> SequenceParser::Create(std::vector<FeatureSpec> context,
                                                      std::vector<FeatureSpec> lists) {
  RETURN_IF_ERROR(CheckLists(lists));
  ASSIGN_OR_RETURN(ExampleParser parser, ExampleParser::Create(std::move(context)));
  return SequenceParser(std::move(parser), std::move(lists));
}

absl::Status SequenceParser::Parse(absl::string_view record, absl::Span<std::byte* const> outputs) const {
  const size_t of_context = context_.outputs().size();
  RETURN_IF_ERROR(context_.ParseAs(kSequenceExample, record, outputs.first(of_context)));
  outputs.remove_prefix(of_context);
  Entries entries;
  if (!FindEntries(record, kFeatureListsField, lists_, &entries)) return NotOfKind(kSequenceExample);
  size_t extra = lists_.size();
  for (size_t i = 0; i < lists_.size(); ++i) {
    const FeatureSpec& spec = lists_[i];
    if (spec.ragged_rows > 0) {
      std::byte* const out[] = {outputs[i], outputs[extra], outputs[extra + 1]};
      RETURN_IF_ERROR(ParseRaggedSteps(spec, entries[i], out));
      extra += 2;
      continue;
    }
    if (!spec.variable && entries[i].data() == nullptr) {
      if (spec.fallback.empty()) return MissingFeature(record, kFeatureListsField, "feature list", spec.name);
      UseFallback(spec, outputs[i]);
      continue;
    }
    int64_t steps = 0;
    RETURN_IF_ERROR(ParseSteps(spec, steps_[i], entries[i], outputs[i], &steps));
    if (spec.variable) {
      const int64_t size = steps_[i].type.shape.NumElements();
      RETURN_IF_ERROR(FinishRows(spec, steps * size, outputs[i], outputs[extra++]));
    } else if (steps != spec.type.shape[0]) {
      return FeatureError(spec, absl::StrCat("has ", steps, " steps; wanted ", spec.type.shape[0], " (",
                                             spec.type.ToString(), ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep::data
