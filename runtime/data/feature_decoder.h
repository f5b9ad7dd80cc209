// Decodes the lists of one feature of a tf.train.Example into typed elements. Shared by the two parsers;
// nobody else needs it.
#ifndef LOCKSTEP_RUNTIME_DATA_FEATURE_DECODER_H_
#define LOCKSTEP_RUNTIME_DATA_FEATURE_DECODER_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/element_store.h"
#include "runtime/data/feature_spec.h"
#include "runtime/data/wire.h"

namespace lockstep::data {

// Numbers are those of the fields of Feature (proto/example.proto).
enum class FeatureKind : uint8_t { kNone = 0, kBytes = 1, kFloat = 2, kInt64 = 3 };
absl::string_view NameOf(FeatureKind kind);  // "bytes_list"

// Collects the elements of one feature, whose lists may come in pieces: a list of the same kind goes on, one
// of another kind starts anew (the rules of a protobuf oneof). Elements past the capacity are only counted.
class FeatureDecoder {
 public:
  // `spec` is borrowed; `out` receives up to `capacity` elements. `depth`: messages around the feature.
  FeatureDecoder(const FeatureSpec& spec, std::byte* out, int64_t capacity, int depth)
      : spec_(spec), store_(spec, out, capacity), wanted_(capacity), depth_(depth) {}

  // Reads `entry`, a map entry (which is one message around the feature), or the feature itself. False where
  // it is no wire format.
  bool Read(absl::string_view entry);
  bool ReadFeature(absl::string_view feature);

  // After reading: whether what was found is what was wanted, in number exactly the capacity, or no more
  // than it, or whatever it is. Error: DataError naming the feature.
  absl::Status FinishFixed();
  absl::Status FinishVariable();
  absl::Status FinishRow();

  FeatureKind kind() const { return kind_; }
  int64_t count() const { return store_.count(); }  // of elements
  int64_t strings() const { return strings_; }
  absl::string_view string() const { return string_; }  // the last of a bytes_list

 private:
  bool ReadList(FeatureKind kind, absl::string_view list);
  bool AddPacked(FeatureKind kind, absl::string_view packed);
  absl::Status CheckKind();
  absl::Status CheckRange() const;
  absl::Status CountError() const;
  absl::Status Error(absl::string_view what) const;

  const FeatureSpec& spec_;
  ElementStore store_;
  const int64_t wanted_;
  const int depth_;
  FeatureKind kind_ = FeatureKind::kNone;
  int64_t strings_ = 0;
  absl::string_view string_;
};

// `what` as an error of the feature.
absl::Status FeatureError(const FeatureSpec& spec, absl::string_view what);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_FEATURE_DECODER_H_
