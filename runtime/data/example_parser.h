// Takes the wanted features out of a serialized tf.train.Example, straight into the caller's buffers.
//
// It reads the wire itself: no message is built and unwanted features are stepped over. It accepts what
// protobuf accepts (packed and unpacked lists, lists in pieces, fields in any order, unknown fields); where a
// feature occurs twice the last one wins, as in a protobuf map. What protobuf refuses it refuses too, unless
// that lies in a feature that is stepped over (CheckExample in check_example.h looks at all of a record).
// tests/data/example_fuzz_test compares it with protobuf on mutated bytes. Any bytes are safe: nothing is
// allocated by a length that they claim.
#ifndef LOCKSTEP_RUNTIME_DATA_EXAMPLE_PARSER_H_
#define LOCKSTEP_RUNTIME_DATA_EXAMPLE_PARSER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/status.h"
#include "runtime/data/feature_spec.h"

namespace lockstep::data {

// Immutable and thread-safe.
class ExampleParser {
 public:
  // Error: that of CheckFeatures.
  static absl::StatusOr<ExampleParser> Create(std::vector<FeatureSpec> features);

  const std::vector<FeatureSpec>& features() const { return features_; }
  const std::vector<InputSpec>& outputs() const { return outputs_; }  // OutputsOf(features)

  // outputs()[i] of `record` into outputs[i] (type.size_bytes() bytes, aligned for the dtype). A ragged
  // feature is a bytes_list, a row a string. Errors: DataError that says the feature, what was found and
  // what was wanted (the caller adds file and record number); the outputs are then undefined.
  absl::Status Parse(absl::string_view record, absl::Span<std::byte* const> outputs) const;

 private:
  friend class SequenceParser;
  explicit ExampleParser(std::vector<FeatureSpec> features)
      : features_(std::move(features)), outputs_(OutputsOf(features_)) {}
  absl::Status ParseAs(absl::string_view kind, absl::string_view record,
                       absl::Span<std::byte* const> outputs) const;

  std::vector<FeatureSpec> features_;
  std::vector<InputSpec> outputs_;
};

// The one string of bytes feature `name`: a view into `record`. Errors as Parse.
absl::StatusOr<absl::string_view> BytesFeature(absl::string_view record, absl::string_view name);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_EXAMPLE_PARSER_H_
