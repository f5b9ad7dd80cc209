// Element types of tensors and messages.
#ifndef LOCKSTEP_RUNTIME_CORE_DTYPE_H_
#define LOCKSTEP_RUNTIME_CORE_DTYPE_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep {

// 16-bit floats are storage types here: arithmetic on them happens in fp32.
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

enum class DType : uint8_t { kU8, kI8, kI32, kU32, kI64, kU64, kF16, kBF16, kF32, kF64 };

// Bytes of one element.
size_t SizeOf(DType dtype);

// The safetensors name: "U8", "I8", "I32", "U32", "I64", "U64", "F16", "BF16", "F32", "F64".
absl::string_view NameOf(DType dtype);

// The inverse of NameOf. Error: InvalidArgument that lists the known names.
absl::StatusOr<DType> DTypeFromName(absl::string_view name);

template <DType kValue>
struct DTypeConstant {
  static constexpr DType kDType = kValue;
};
template <typename T>
struct DTypeTraits;
template <>
struct DTypeTraits<uint8_t> : DTypeConstant<DType::kU8> {};
template <>
struct DTypeTraits<int8_t> : DTypeConstant<DType::kI8> {};
template <>
struct DTypeTraits<int32_t> : DTypeConstant<DType::kI32> {};
template <>
struct DTypeTraits<uint32_t> : DTypeConstant<DType::kU32> {};
template <>
struct DTypeTraits<int64_t> : DTypeConstant<DType::kI64> {};
template <>
struct DTypeTraits<uint64_t> : DTypeConstant<DType::kU64> {};
template <>
struct DTypeTraits<Float16> : DTypeConstant<DType::kF16> {};
template <>
struct DTypeTraits<BFloat16> : DTypeConstant<DType::kBF16> {};
template <>
struct DTypeTraits<float> : DTypeConstant<DType::kF32> {};
template <>
struct DTypeTraits<double> : DTypeConstant<DType::kF64> {};

template <typename T>
inline constexpr DType kDTypeOf = DTypeTraits<T>::kDType;

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_DTYPE_H_
