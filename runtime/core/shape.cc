#include "runtime/core/shape.h"

#include <cassert>

#include "absl/strings/str_join.h"

namespace lockstep {

Shape::Shape(std::initializer_list<int64_t> dims) {
  assert(dims.size() <= kMaxRank);
  for (int64_t size : dims) Append(size);
}

absl::StatusOr<Shape> Shape::FromDims(absl::Span<const int64_t> dims) {
  if (dims.size() > kMaxRank) {
    return absl::InvalidArgumentError(
        absl::StrCat("a shape of ", dims.size(), " dimensions; at most ", kMaxRank, " are supported"));
  }
  Shape shape;
  int64_t product = 1;
  for (int64_t size : dims) {
    if (size < 0 || __builtin_mul_overflow(product, size == 0 ? 1 : size, &product)) {
      return absl::InvalidArgumentError(
          absl::StrCat("a shape [", absl::StrJoin(dims, ", "), "] that is negative or too large"));
    }
    shape.Append(size);
  }
  return shape;
}

int64_t Shape::Product(int first, int last) const {
  int64_t product = 1;
  for (int axis = first; axis < last; ++axis) product *= dims_[axis];
  return product;
}

std::string Shape::ToString() const { return absl::StrCat("[", absl::StrJoin(dims(), ", "), "]"); }

}  // namespace lockstep
