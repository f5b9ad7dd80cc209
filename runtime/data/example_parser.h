// Takes the wanted features out of a serialized tf.train.Example, straight into the caller's buffers.
//
// It reads the wire itself: no message is built and unwanted features are stepped over. It accepts what
// protobuf accepts (packed and unpacked lists, lists in pieces, fields in any order, unknown fields); where a
// feature occurs twice the last one wins, as in a protobuf map. tests/data/example_fuzz_test compares it with
// protobuf on mutated bytes. Any bytes are safe: nothing is allocated by a length that they claim.
#ifndef LOCKSTEP_RUNTIME_DATA_EXAMPLE_PARSER_H_
#define LOCKSTEP_RUNTIME_DATA_EXAMPLE_PARSER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/status.h"
#include "runtime/core/tensor_type.h"

namespace lockstep::data {

// A wanted feature, of exactly type.shape.NumElements() elements. What is stored may be cast:
//
//   stored                      -> U8     I32    I64    F32
//   bytes_list, one string         bytes  bytes  bytes  scale * byte + offset     (an element a byte)
//   int64_list                     *      *      yes    scale * value + offset    (* error where it does not
//   fit) float_list                     -      -      -      scale * value + offset
//
// scale * x + offset is one rounded product and one rounded sum in fp32, and left out where scale is 1 and
// offset 0.
struct FeatureSpec {
  std::string name;
  TensorType type;      // without the batch; dtype U8, I32, I64 or F32
  float scale = 1;      // F32 only
  float offset = 0;     // F32 only
  int64_t classes = 0;  // > 0: integers must lie in [0, classes)
};

// Immutable and thread-safe.
class ExampleParser {
 public:
  // Error: ConfigError naming the feature, for a name given twice or a type that no cast leads to.
  static absl::StatusOr<ExampleParser> Create(std::vector<FeatureSpec> features);

  const std::vector<FeatureSpec>& features() const { return features_; }

  // Feature i of `record` into outputs[i] (type.size_bytes() bytes, aligned for the dtype). Errors: DataError
  // that says the feature, what was found and what was wanted (the caller adds file and record number); the
  // outputs are then undefined.
  absl::Status Parse(absl::string_view record, absl::Span<std::byte* const> outputs) const;

 private:
  explicit ExampleParser(std::vector<FeatureSpec> features) : features_(std::move(features)) {}
  std::vector<FeatureSpec> features_;
};

// The one string of bytes feature `name`: a view into `record`. Errors as Parse.
absl::StatusOr<absl::string_view> BytesFeature(absl::string_view record, absl::string_view name);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_EXAMPLE_PARSER_H_
