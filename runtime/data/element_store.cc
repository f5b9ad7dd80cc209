#include "runtime/data/element_store.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace lockstep::data {
namespace {

template <typename T>
T* As(std::byte* out) {
  return reinterpret_cast<T*>(out);
}

template <typename T>
T Load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// To the nearest, ties to even; a NaN stays one.
uint16_t ToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

uint16_t ToFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  if (magnitude >= 0x477ff000)
    return static_cast<uint16_t>(sign | 0x7c00);  // rounds above the largest, 65504
  if (magnitude < 0x38800000) {  // below 2^-14: multiples of 2^-24, which adding 0.5 rounds to
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
}

float FromFloat16(uint16_t half) {
  const float magnitude =
      (half & 0x7c00) == 0x7c00 ? ((half & 0x3ff) != 0 ? std::numeric_limits<float>::quiet_NaN()
                                                       : std::numeric_limits<float>::infinity())
      : (half & 0x7c00) == 0    ? static_cast<float>(half & 0x3ff) * 0x1p-24f
                                : std::bit_cast<float>(((half & 0x7fffu) << 13) + 0x38000000u);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

template <typename T>
bool Within(int64_t value) {
  return value >= static_cast<int64_t>(std::numeric_limits<T>::min()) &&
         value <= static_cast<int64_t>(std::numeric_limits<T>::max());
}

bool FitsInteger(int64_t value, DType dtype) {
  switch (dtype) {
    case DType::kU8:
      return Within<uint8_t>(value);
    case DType::kI8:
      return Within<int8_t>(value);
    case DType::kI32:
      return Within<int32_t>(value);
    case DType::kU32:
      return Within<uint32_t>(value);
    default:
      return true;
  }
}

// `value` fits; integer types only.
void PutInteger(DType dtype, int64_t value, int64_t index, std::byte* out) {
  switch (dtype) {
    case DType::kU8:
    case DType::kI8:
      As<uint8_t>(out)[index] = static_cast<uint8_t>(value);
      return;
    case DType::kI32:
    case DType::kU32:
      As<uint32_t>(out)[index] = static_cast<uint32_t>(value);
      return;
    default:
      As<int64_t>(out)[index] = value;
  }
}

bool IsFloat(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

void PutFloat(DType dtype, float value, int64_t index, std::byte* out) {
  if (dtype == DType::kF32) {
    As<float>(out)[index] = value;
  } else {
    As<uint16_t>(out)[index] = dtype == DType::kBF16 ? ToBFloat16(value) : ToFloat16(value);
  }
}

}  // namespace

bool Fits(double value, DType dtype) {
  if (IsFloat(dtype)) return true;
  return std::abs(value) <= 0x1p53 && value == std::trunc(value) &&
         FitsInteger(static_cast<int64_t>(value), dtype);
}

void FillElements(DType dtype, double value, int64_t count, std::byte* out) {
  if (value == 0 && !std::signbit(value)) {
    if (count > 0) std::memset(out, 0, static_cast<size_t>(count) * SizeOf(dtype));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    if (IsFloat(dtype)) {
      PutFloat(dtype, static_cast<float>(value), i, out);
    } else {
      PutInteger(dtype, static_cast<int64_t>(value), i, out);
    }
  }
}

void UseFallback(const FeatureSpec& spec, std::byte* out) {
  const int64_t count = spec.type.shape.NumElements();
  if (spec.fallback.size() == 1) return FillElements(spec.type.dtype, spec.fallback[0], count, out);
  for (int64_t i = 0; i < count; ++i, out += SizeOf(spec.type.dtype)) {
    FillElements(spec.type.dtype, spec.fallback[static_cast<size_t>(i)], 1, out);
  }
}

void ElementStore::StoreFloat(float value) {
  PutFloat(spec_.type.dtype, plain_ ? value : spec_.scale * value + spec_.offset, count_, out_);
}

void ElementStore::AddFloats(const char* floats, int64_t count) {
  const int64_t stored = std::min(count, capacity_ - std::min(count_, capacity_));
  if (spec_.type.dtype == DType::kF32 && stored > 0) {
    float* out = As<float>(out_) + count_;
    std::memcpy(out, floats, static_cast<size_t>(stored) * sizeof(float));
    if (!plain_) {
      for (int64_t i = 0; i < stored; ++i) out[i] = spec_.scale * out[i] + spec_.offset;
    }
    count_ += count;
    return;
  }
  const int64_t end = count_ + count;
  if (IsFloat(spec_.type.dtype)) {
    for (int64_t i = 0; i < stored; ++i, ++count_) StoreFloat(Load<float>(floats + i * 4));
  }
  count_ = end;
}

void ElementStore::StoreInteger(int64_t value) {
  const DType dtype = spec_.type.dtype;
  if (IsFloat(dtype)) return StoreFloat(static_cast<float>(value));
  PutInteger(dtype, value, count_, out_);
  const bool fits =
      FitsInteger(value, dtype) && (spec_.classes == 0 || (value >= 0 && value < spec_.classes));
  if (!fits && !misfit_) {
    misfit_ = true;
    bad_value_ = value;
    bad_element_ = count_;
  }
}

bool ElementStore::AddString(absl::string_view string) {
  if (spec_.raw) return AddRaw(*spec_.raw, string);
  const auto* bytes = reinterpret_cast<const uint8_t*>(string.data());
  const auto size = static_cast<int64_t>(string.size());
  const int64_t stored = std::min(size, capacity_ - std::min(count_, capacity_));
  if (spec_.type.dtype == DType::kU8 && spec_.classes == 0) {
    if (stored > 0) std::memcpy(out_ + count_, bytes, static_cast<size_t>(stored));
    count_ += size;
  } else if (spec_.type.dtype == DType::kF32) {
    float* out = As<float>(out_) + count_;
    for (int64_t i = 0; i < stored; ++i) {
      out[i] = plain_ ? bytes[i] : spec_.scale * static_cast<float>(bytes[i]) + spec_.offset;
    }
    count_ += size;
  } else {
    for (int64_t i = 0; i < size; ++i) AddInteger(bytes[i]);
  }
  return true;
}

bool ElementStore::AddRaw(DType raw, absl::string_view string) {
  const size_t size = SizeOf(raw);
  const bool floats = IsFloat(raw) || raw == DType::kF64;
  if (string.size() % size != 0 || (floats && !IsFloat(spec_.type.dtype))) return false;
  if (raw == DType::kF32) {
    AddFloats(string.data(), static_cast<int64_t>(string.size() / size));
    return true;
  }
  for (const char* at = string.data(); at != string.data() + string.size(); at += size) {
    if (floats) {
      const float value = raw == DType::kF64    ? static_cast<float>(Load<double>(at))
                          : raw == DType::kBF16 ? std::bit_cast<float>(uint32_t{Load<uint16_t>(at)} << 16)
                                                : FromFloat16(Load<uint16_t>(at));
      if (count_ < capacity_) StoreFloat(value);
      ++count_;
      continue;
    }
    AddInteger(raw == DType::kU8    ? Load<uint8_t>(at)
               : raw == DType::kI8  ? Load<int8_t>(at)
               : raw == DType::kI32 ? Load<int32_t>(at)
               : raw == DType::kU32 ? Load<uint32_t>(at)
                                    : Load<int64_t>(at));
  }
  return true;
}

}  // namespace lockstep::data
