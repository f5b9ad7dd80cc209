// Ends of features whose length is not fixed: padding, and rows one behind the other in a buffer of fixed
// size. Shared by the two parsers.
#ifndef LOCKSTEP_RUNTIME_DATA_RAGGED_ROWS_H_
#define LOCKSTEP_RUNTIME_DATA_RAGGED_ROWS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "runtime/data/feature_decoder.h"

namespace lockstep::data {

// Ends a variable feature of `count` elements at `out`: pads it, and writes how many rows they are to
// `length`. Error: DataError where they are no whole rows.
inline absl::Status FinishRows(const FeatureSpec& spec, int64_t count, std::byte* out, std::byte* length) {
  const int64_t most = spec.type.shape.NumElements(), row = most / spec.type.shape[0];
  if (count % row != 0) {
    return FeatureError(spec, absl::StrCat("has ", count, " elements, which are no whole rows of ", row));
  }
  FillElements(spec.type.dtype, spec.pad, most - count,
               out + static_cast<size_t>(count) * SizeOf(spec.type.dtype));
  *reinterpret_cast<int32_t*>(length) = static_cast<int32_t>(count / row);
  return absl::OkStatus();
}

// Not thread-safe. `spec.ragged_rows` rows at most, spec.type.shape[0] elements at most.
class RaggedRows {
 public:
  // Borrowed: the elements, and the spec's extra outputs (feature_spec.h).
  RaggedRows(const FeatureSpec& spec, std::byte* elements, std::byte* length, std::byte* offsets)
      : spec_(spec),
        elements_(elements),
        length_(reinterpret_cast<int32_t*>(length)),
        offsets_(reinterpret_cast<int32_t*>(offsets)) {
    offsets_[0] = 0;
  }

  std::byte* next() const { return elements_ + static_cast<size_t>(used_) * SizeOf(spec_.type.dtype); }
  int64_t room() const { return spec_.type.shape[0] - used_; }
  // The row that was written at next(), of `count` elements, which may be more than there was room for.
  absl::Status Add(int64_t count) {
    if (rows_ == spec_.ragged_rows)
      return FeatureError(spec_,
                          absl::StrCat("has more than the ", spec_.ragged_rows, " rows there is room for"));
    if (count > room()) {
      return FeatureError(
          spec_, absl::StrCat("has more than the ", spec_.type.shape[0], " elements there is room for (",
                              used_ + count, " up to row ", rows_, ")"));
    }
    used_ += count;
    offsets_[++rows_] = static_cast<int32_t>(used_);
    return absl::OkStatus();
  }
  void Finish() {
    *length_ = static_cast<int32_t>(rows_);
    std::fill(offsets_ + rows_ + 1, offsets_ + spec_.ragged_rows + 1, static_cast<int32_t>(used_));
    FillElements(spec_.type.dtype, spec_.pad, room(), next());
  }

 private:
  const FeatureSpec& spec_;
  std::byte* const elements_;
  int32_t* const length_;
  int32_t* const offsets_;
  int64_t rows_ = 0, used_ = 0;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RAGGED_ROWS_H_
