#include "comm/reduce/wire_kernels.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/reduce/wire_kernels.cc"
#include "hwy/foreach_target.h"  // compiles this file once for each instruction set
//
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::comm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr uint32_t kInfinity = 0x7f800000u;  // of fp32; above it are the NaNs

// The 16 bits of each fp32 pattern, in 32.
struct ToBFloat16 {
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V operator()(D d, V bits) const {
    const V high = hn::ShiftRight<16>(bits);
    const V odd = hn::And(high, hn::Set(d, 1));
    const V rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7fff))));
    const auto is_nan = hn::Gt(hn::And(bits, hn::Set(d, 0x7fffffffu)), hn::Set(d, kInfinity));
    return hn::IfThenElse(is_nan, hn::Or(high, hn::Set(d, 0x40)), rounded);
  }
};

struct ToFloat16 {
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V operator()(D d, V bits) const {
    const V one = hn::Set(d, 1);
    const V sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 0x8000));
    const V magnitude = hn::And(bits, hn::Set(d, 0x7fffffffu));
    const V odd = hn::And(hn::ShiftRight<13>(magnitude), one);
    const V normal = hn::ShiftRight<13>(
        hn::Sub(hn::Add(magnitude, hn::Add(odd, hn::Set(d, 0xfff))), hn::Set(d, 0x38000000u)));
    // Below 2^-14: multiples of 2^-24. A shift beyond 24 leaves nothing; larger numbers wrap to it and are
    // not taken.
    const V shift = hn::Min(hn::Sub(hn::Set(d, 126), hn::ShiftRight<23>(magnitude)), hn::Set(d, 25));
    const V significand = hn::Or(hn::And(magnitude, hn::Set(d, 0x7fffffu)), hn::Set(d, 0x800000u));
    const V quotient = hn::Shr(significand, shift);
    const V rest = hn::Sub(significand, hn::Shl(quotient, shift));
    const V half_way = hn::Shl(one, hn::Sub(shift, one));
    const auto up =
        hn::Or(hn::Gt(rest, half_way), hn::And(hn::Eq(rest, half_way), hn::Eq(hn::And(quotient, one), one)));
    const V subnormal = hn::Add(quotient, hn::IfThenElseZero(up, one));
    V half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0x38800000u)), subnormal, normal);
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(d, 0x477fffffu)), hn::Set(d, 0x7c00), half);
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(d, kInfinity)), hn::Set(d, 0x7e00), half);
    return hn::Or(sign, half);
  }
};

// The fp32 pattern of each 16-bit one.
struct FromBFloat16 {
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V operator()(D, V half) const {
    return hn::ShiftLeft<16>(half);
  }
};

struct FromFloat16 {
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V operator()(D d, V half) const {
    const hn::RebindToSigned<D> di;
    const hn::RebindToFloat<D> df;
    const V sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(d, 0x8000)));
    const V magnitude = hn::And(half, hn::Set(d, 0x7fff));
    const V shifted = hn::ShiftLeft<13>(magnitude);
    const V normal = hn::Add(shifted, hn::Set(d, 112u << 23));
    // A subnormal is its mantissa times 2^-24, exactly, and a normal number of fp32.
    const auto mantissa = hn::ConvertTo(df, hn::BitCast(di, magnitude));
    const V subnormal = hn::BitCast(d, hn::Mul(mantissa, hn::Set(df, 0x1p-24f)));
    V bits = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0x400)), subnormal, normal);
    bits =
        hn::IfThenElse(hn::Gt(magnitude, hn::Set(d, 0x7bff)), hn::Or(shifted, hn::Set(d, kInfinity)), bits);
    return hn::Or(sign, bits);
  }
};

template <class Convert>
void Pack(const float* in, uint16_t* out, size_t count, const Convert& convert) {
  const hn::ScalableTag<uint32_t> d;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const hn::RebindToFloat<decltype(d)> df;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::TruncateTo(d16, convert(d, hn::BitCast(d, hn::LoadU(df, in + i)))), d16, out + i);
  }
  if (i == count) return;
  // The rest as one more whole vector: Highway 1.0.3 shifts a vector of one lane by what lies beside it, too.
  float rest[hn::MaxLanes(d)] = {};
  uint16_t packed[hn::MaxLanes(d)];
  for (size_t k = 0; k < count - i; ++k) rest[k] = in[i + k];
  hn::StoreU(hn::TruncateTo(d16, convert(d, hn::BitCast(d, hn::LoadU(df, rest)))), d16, packed);
  for (size_t k = 0; k < count - i; ++k) out[i + k] = packed[k];
}

template <class Convert>
void Unpack(const uint16_t* in, float* out, size_t count, const Convert& convert) {
  const hn::ScalableTag<uint32_t> d;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const hn::RebindToFloat<decltype(d)> df;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::BitCast(df, convert(d, hn::PromoteTo(d, hn::LoadU(d16, in + i)))), df, out + i);
  }
  if (i == count) return;
  uint16_t rest[hn::MaxLanes(d)] = {};
  float unpacked[hn::MaxLanes(d)];
  for (size_t k = 0; k < count - i; ++k) rest[k] = in[i + k];
  hn::StoreU(hn::BitCast(df, convert(d, hn::PromoteTo(d, hn::LoadU(d16, rest)))), df, unpacked);
  for (size_t k = 0; k < count - i; ++k) out[i + k] = unpacked[k];
}

void PackBFloat16(const float* in, uint16_t* out, size_t count) { Pack(in, out, count, ToBFloat16()); }
void PackFloat16(const float* in, uint16_t* out, size_t count) { Pack(in, out, count, ToFloat16()); }
void UnpackBFloat16(const uint16_t* in, float* out, size_t count) { Unpack(in, out, count, FromBFloat16()); }
void UnpackFloat16(const uint16_t* in, float* out, size_t count) { Unpack(in, out, count, FromFloat16()); }

}  // namespace HWY_NAMESPACE
}  // namespace lockstep::comm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::comm {

HWY_EXPORT(PackBFloat16);
HWY_EXPORT(PackFloat16);
HWY_EXPORT(UnpackBFloat16);
HWY_EXPORT(UnpackFloat16);

void PackBFloat16(const float* in, uint16_t* out, size_t count) {
  HWY_DYNAMIC_DISPATCH(PackBFloat16)(in, out, count);
}
void PackFloat16(const float* in, uint16_t* out, size_t count) {
  HWY_DYNAMIC_DISPATCH(PackFloat16)(in, out, count);
}
void UnpackBFloat16(const uint16_t* in, float* out, size_t count) {
  HWY_DYNAMIC_DISPATCH(UnpackBFloat16)(in, out, count);
}
void UnpackFloat16(const uint16_t* in, float* out, size_t count) {
  HWY_DYNAMIC_DISPATCH(UnpackFloat16)(in, out, count);
}

}  // namespace lockstep::comm
#endif  // HWY_ONCE
