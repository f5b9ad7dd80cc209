// What is known of a tensor before there is memory for it: element type and dimensions.
#ifndef LOCKSTEP_RUNTIME_CORE_TENSOR_TYPE_H_
#define LOCKSTEP_RUNTIME_CORE_TENSOR_TYPE_H_

#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/core/dtype.h"
#include "runtime/core/shape.h"

namespace lockstep {

struct TensorType {
  DType dtype = DType::kF32;
  Shape shape;

  size_t size_bytes() const { return static_cast<size_t>(shape.NumElements()) * SizeOf(dtype); }
  std::string ToString() const { return absl::StrCat(NameOf(dtype), shape.ToString()); }  // "F32[2, 3]"

  friend bool operator==(const TensorType& a, const TensorType& b) {
    return a.dtype == b.dtype && a.shape == b.shape;
  }
  friend bool operator!=(const TensorType& a, const TensorType& b) { return !(a == b); }
};

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_TENSOR_TYPE_H_
