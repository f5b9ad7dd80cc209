// The hash that categories are put into buckets by. It is TensorFlow's (tf.strings.to_hash_bucket_fast and
// tf.feature_column), so that a model moves over with its tables.
#ifndef LOCKSTEP_RUNTIME_DATA_COLUMNS_FINGERPRINT64_H_
#define LOCKSTEP_RUNTIME_DATA_COLUMNS_FINGERPRINT64_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace lockstep::data {

// FarmHash Fingerprint64 (google/farmhash, 2014; its version "na"), which its authors promise never to
// change. Test vectors: "" -> 9ae16a3b2f90404f, "a" -> b3454265b6df75e3, "hello" -> b48be5a931380ce8; more,
// of every length that has a path of its own, in tests/testing/golden/feature_columns.json.
uint64_t Fingerprint64(absl::string_view bytes);

// Two fingerprints as one; the order matters. TensorFlow's FingerprintCat64: one round of MurmurHash64A.
uint64_t CombineFingerprints(uint64_t first, uint64_t second);

// What a cross starts from (TensorFlow's default hash_key).
inline constexpr uint64_t kCrossKey = 0xDECAFCAFFE;

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_COLUMNS_FINGERPRINT64_H_
