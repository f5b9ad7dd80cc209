// One feature of an Example into one buffer.
#ifndef LOCKSTEP_RUNTIME_DATA_FEATURE_DECODER_H_
#define LOCKSTEP_RUNTIME_DATA_FEATURE_DECODER_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/wire.h"

namespace lockstep::data {

// Numbers are those of the fields of Feature (proto/example.proto).
enum class FeatureKind : uint8_t { kNone = 0, kBytes = 1, kFloat = 2, kInt64 = 3 };
absl::string_view NameOf(FeatureKind kind);  // "bytes_list"

// Collects the elements of one map entry of Features, whose lists may come in pieces: a list of the same kind
// goes on, one of another kind starts anew (the rules of a protobuf oneof). Elements past the wanted number
// are only counted.
class FeatureDecoder {
 public:
  // `spec` is borrowed; `out` receives its elements.
  FeatureDecoder(const FeatureSpec& spec, std::byte* out)
      : spec_(spec),
        out_(out),
        wanted_(spec.type.shape.NumElements()),
        plain_(spec.scale == 1 && spec.offset == 0) {}

  // Reads `entry`, a map entry. False where it is no wire format.
  bool Read(absl::string_view entry);

  // After Read: whether what was found is what was wanted; then `out` is complete.
  absl::Status Finish();

  FeatureKind kind() const { return kind_; }
  int64_t strings() const { return strings_; }
  absl::string_view string() const { return string_; }  // the last of a bytes_list

 private:
  bool ReadFeature(absl::string_view feature);
  bool ReadList(FeatureKind kind, absl::string_view list);
  bool AddPacked(FeatureKind kind, absl::string_view packed);
  void AddFloats(const char* floats, int64_t count);
  void AddInteger(int64_t value);
  void StoreInteger(int64_t value);
  absl::Status FinishBytes();
  absl::Status CountError(absl::string_view unit) const;
  absl::Status Error(absl::string_view what) const;

  const FeatureSpec& spec_;
  std::byte* const out_;
  const int64_t wanted_;
  const bool plain_;  // no scale and no offset
  FeatureKind kind_ = FeatureKind::kNone;
  int64_t count_ = 0;  // of floats or integers
  int64_t strings_ = 0;
  absl::string_view string_;
  bool misfit_ = false;  // an integer is out of range; the first such is:
  int64_t bad_value_ = 0, bad_element_ = 0;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_FEATURE_DECODER_H_
