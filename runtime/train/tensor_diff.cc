#include "runtime/train/tensor_diff.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"

namespace lockstep::train {
namespace {

float WidenHalf(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  float value = exponent == 0    ? std::ldexp(static_cast<float>(mantissa), -24)
                : exponent == 31 ? (mantissa != 0 ? NAN : INFINITY)
                                 : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  return (bits >> 15) != 0 ? -value : value;
}

template <typename T>
double Read(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return static_cast<double>(value);
}

// The element at `at`, which may be unaligned, as a double.
double Element(DType dtype, const char* at) {
  uint16_t half;
  switch (dtype) {
    case DType::kU8:
      return Read<uint8_t>(at);
    case DType::kI8:
      return Read<int8_t>(at);
    case DType::kI32:
      return Read<int32_t>(at);
    case DType::kU32:
      return Read<uint32_t>(at);
    case DType::kI64:
      return Read<int64_t>(at);
    case DType::kU64:
      return Read<uint64_t>(at);
    case DType::kF32:
      return Read<float>(at);
    case DType::kF64:
      return Read<double>(at);
    case DType::kF16:
      std::memcpy(&half, at, sizeof half);
      return WidenHalf(half);
    case DType::kBF16: {
      std::memcpy(&half, at, sizeof half);
      const uint32_t bits = static_cast<uint32_t>(half) << 16;
      return Read<float>(reinterpret_cast<const char*>(&bits));
    }
  }
  return 0;
}

// Empty when all bits agree.
std::string DiffText(const NamedTensor& a, const NamedTensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) {
    return absl::StrCat(a.name, ": ", NameOf(a.dtype), " ", a.shape.ToString(), " -> ", NameOf(b.dtype), " ",
                        b.shape.ToString());
  }
  const int64_t count = a.shape.NumElements();
  const size_t width = SizeOf(a.dtype);
  const char *x = static_cast<const char*>(a.data), *y = static_cast<const char*>(b.data);
  int64_t differing = 0;
  double largest = 0;
  for (int64_t i = 0; i < count; ++i, x += width, y += width) {
    if (std::memcmp(x, y, width) == 0) continue;
    ++differing;
    const double difference = std::abs(Element(a.dtype, x) - Element(a.dtype, y));
    if (difference > largest || std::isnan(difference)) largest = difference;
  }
  if (differing == 0) return "";
  return absl::StrFormat("%s: %d of %d elements differ, by up to %.9g", a.name, differing, count, largest);
}

}  // namespace

std::vector<std::string> TensorDiff(absl::Span<const NamedTensor> before,
                                    absl::Span<const NamedTensor> after) {
  std::map<std::string, std::pair<const NamedTensor*, const NamedTensor*>> pairs;
  for (const NamedTensor& tensor : before) pairs[tensor.name].first = &tensor;
  for (const NamedTensor& tensor : after) pairs[tensor.name].second = &tensor;
  std::vector<std::string> lines;
  for (const auto& [name, pair] : pairs) {
    if (pair.first == nullptr) {
      lines.push_back(name + ": only in the second");
    } else if (pair.second == nullptr) {
      lines.push_back(name + ": only in the first");
    } else if (std::string text = DiffText(*pair.first, *pair.second); !text.empty()) {
      lines.push_back(std::move(text));
    }
  }
  return lines;
}

}  // namespace lockstep::train
