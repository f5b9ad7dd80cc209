// 16-bit floats to fp32 (exact) and back (round to nearest even; NaN stays NaN). Without denormals-are-zero
// surprises: integer arithmetic only.
#ifndef LOCKSTEP_COMM_REDUCE_HALF_H_
#define LOCKSTEP_COMM_REDUCE_HALF_H_

#include <bit>
#include <cstdint>

#include "runtime/core/dtype.h"

namespace lockstep::comm {

inline float ToFloat(BFloat16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }

inline void FromFloat(float value, BFloat16& out) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    out.bits = static_cast<uint16_t>((bits >> 16) | 0x40u);  // a quiet NaN
    return;
  }
  out.bits = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float ToFloat(Float16 value) {
  const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16;
  const uint32_t exponent = (value.bits >> 10) & 0x1fu;
  uint32_t mantissa = value.bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  if (mantissa == 0) return std::bit_cast<float>(sign);
  // A subnormal of fp16 is a normal number of fp32.
  const int shift = std::countl_zero(mantissa) - 21;
  mantissa = (mantissa << shift) & 0x3ffu;
  return std::bit_cast<float>(sign | ((113u - shift) << 23) | (mantissa << 13));
}

inline void FromFloat(float value, Float16& out) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;  // NaN
  } else if (magnitude >= 0x47800000u) {
    half = 0x7c00u;  // 65536 and above: infinity
  } else if (magnitude < 0x38800000u) {
    // Below 2^-14: a subnormal, a multiple of 2^-24. The significand, shifted with round to nearest even.
    const int shift = 126 - static_cast<int>(magnitude >> 23);  // 14 .. 126
    const uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
    if (shift > 24) {
      half = 0;
    } else {
      const uint32_t half_way = 1u << (shift - 1);
      half = significand >> shift;
      const uint32_t rest = significand & ((1u << shift) - 1);
      if (rest > half_way || (rest == half_way && (half & 1u))) ++half;
    }
  } else {
    half = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  }
  out.bits = static_cast<uint16_t>(sign | half);
}

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_REDUCE_HALF_H_
