// Dimensions of a tensor, row-major (the last dimension is contiguous).
#ifndef LOCKSTEP_RUNTIME_CORE_SHAPE_H_
#define LOCKSTEP_RUNTIME_CORE_SHAPE_H_

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/types/span.h"
#include "runtime/core/status.h"

namespace lockstep {

// A value type of up to kMaxRank dimensions, each >= 0, whose product fits int64 (checked where bytes from
// outside become a Shape: FromDims). Rank 0 is a scalar with one element.
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);  // for literals; aborts in debug builds on misuse
  // Error: InvalidArgument for a negative dimension, more than kMaxRank of them, or an overflowing product.
  static absl::StatusOr<Shape> FromDims(absl::Span<const int64_t> dims);

  int rank() const { return rank_; }
  // Dimension `axis`; a negative axis counts from the end.
  int64_t operator[](int axis) const { return dims_[axis < 0 ? axis + rank_ : axis]; }
  void Set(int axis, int64_t size) { dims_[axis < 0 ? axis + rank_ : axis] = size; }
  void Append(int64_t size) { dims_[rank_++] = size; }
  absl::Span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }

  int64_t NumElements() const { return Product(0, rank_); }
  // Product of dimensions first .. last-1.
  int64_t Product(int first, int last) const;

  std::string ToString() const;  // "[2, 3]"

  friend bool operator==(const Shape& a, const Shape& b) { return a.dims() == b.dims(); }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

 private:
  int rank_ = 0;
  std::array<int64_t, kMaxRank> dims_{};
};

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_SHAPE_H_
