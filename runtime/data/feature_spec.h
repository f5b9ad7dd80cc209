// What is wanted of a feature: its name, its type in memory, and what to do where a record has it otherwise.
#ifndef LOCKSTEP_RUNTIME_DATA_FEATURE_SPEC_H_
#define LOCKSTEP_RUNTIME_DATA_FEATURE_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/status.h"
#include "runtime/core/tensor_type.h"
#include "runtime/data/sample_source.h"

namespace lockstep::data {

// A wanted feature. What is stored may be cast:
//
//   stored                     -> U8, I8, I32, U32, I64          F32                       F16, BF16
//   bytes_list, one string        an element a byte (*)          scale * byte + offset     of the F32
//   int64_list                    the value (*)                  scale * value + offset    of the F32
//   float_list                    never                          scale * value + offset    of the F32
//
// (*) an error where it does not fit. An integer becomes F32 rounded to the nearest; scale * x + offset is
// one rounded product and one rounded sum in fp32, and left out where scale is 1 and offset 0; 16 bits are
// the F32 rounded to the nearest, ties to even. With `raw` the string holds little-endian elements of that
// type, as tf.io.decode_raw reads them.
//
// How many elements:
//   fixed     type.shape.NumElements() of them, no more and no fewer
//   variable  up to type.shape[0] rows of the rest of the shape, the first ones. What remains is `pad`
//   ragged    rows of any length (strings of a bytes_list; steps of a feature list), one behind the other,
//             up to type.shape[0] elements (the shape has that one dimension) in up to `ragged_rows` rows.
//             What remains is `pad`
struct FeatureSpec {
  std::string name;
  TensorType type;      // without the batch; dtype U8, I8, I32, U32, I64, F16, BF16 or F32
  float scale = 1;      // to floats only
  float offset = 0;     // to floats only
  int64_t classes = 0;  // > 0: integers must lie in [0, classes)

  bool variable = false;
  int64_t ragged_rows = 0;  // > 0: ragged
  double pad = 0;           // of variable and ragged ones, as it lies in memory (not scaled)
  // Of fixed ones, where a record has no such feature, or one that holds no list: one value for all elements
  // or one each, as they lie in memory. Empty: that is an error.
  std::vector<double> fallback = {};
  std::optional<DType> raw = std::nullopt;
};

// Error: ConfigError naming the feature, for a name given twice, a type that no cast leads to, values that do
// not fit it, or a combination that means nothing.
absl::Status CheckFeatures(const std::vector<FeatureSpec>& features);

// What parsing gives: first each feature as it is named, then for a variable one NAME.length, I32 [], how
// many rows there are, and for a ragged one NAME.length and NAME.offsets, I32 [ragged_rows + 1], where each
// row begins among the elements (those behind the last row are where it ends).
std::vector<InputSpec> OutputsOf(const std::vector<FeatureSpec>& features);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_FEATURE_SPEC_H_
