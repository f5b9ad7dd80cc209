// Puts stored elements into memory as a FeatureSpec says: casts, scaling, ranges. No wire format here.
#ifndef LOCKSTEP_RUNTIME_DATA_ELEMENT_STORE_H_
#define LOCKSTEP_RUNTIME_DATA_ELEMENT_STORE_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "runtime/data/feature_spec.h"

namespace lockstep::data {

// Whether `value` is one that `dtype` can hold (integers: exactly; floats: any).
bool Fits(double value, DType dtype);

// Writes `count` times `value`, which fits, at `out`.
void FillElements(DType dtype, double value, int64_t count, std::byte* out);

// Writes the spec's fallback, which is not empty, at `out`.
void UseFallback(const FeatureSpec& spec, std::byte* out);

// Not thread-safe. Elements past the capacity are counted and not stored.
class ElementStore {
 public:
  // `spec` is borrowed; `out` takes `capacity` elements of its type.
  ElementStore(const FeatureSpec& spec, std::byte* out, int64_t capacity)
      : spec_(spec),
        out_(out),
        capacity_(capacity),
        plain_(spec.scale == 1 && spec.offset == 0),
        as_stored_(spec.type.dtype == DType::kI64 && spec.classes == 0) {}

  void Clear() {
    count_ = 0;
    misfit_ = false;
  }
  // Floats in the order of little-endian bytes, aligned or not. Not for integer types.
  void AddFloats(const char* floats, int64_t count);
  void AddInteger(int64_t value) {
    if (count_ < capacity_) {
      if (as_stored_) {
        reinterpret_cast<int64_t*>(out_)[count_] = value;
      } else {
        StoreInteger(value);
      }
    }
    ++count_;
  }
  // A string: an element a byte, or what spec.raw says. False where its length is no multiple of such an
  // element, or raw floats would become integers.
  bool AddString(absl::string_view string);

  int64_t count() const { return count_; }
  // False for an integer that does not fit, or is no class; then the first such is:
  bool all_fit() const { return !misfit_; }
  int64_t bad_value() const { return bad_value_; }
  int64_t bad_element() const { return bad_element_; }

 private:
  void StoreInteger(int64_t value);
  void StoreFloat(float value);
  bool AddRaw(DType raw, absl::string_view string);

  const FeatureSpec& spec_;
  std::byte* const out_;
  const int64_t capacity_;
  const bool plain_;      // no scale and no offset
  const bool as_stored_;  // integers need neither cast nor check
  int64_t count_ = 0;
  bool misfit_ = false;
  int64_t bad_value_ = 0, bad_element_ = 0;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_ELEMENT_STORE_H_
