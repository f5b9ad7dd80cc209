#include "runtime/data/wire.h"

namespace lockstep::data {

bool WireReader::LongVarint(uint64_t* value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (at_ == end_) return false;
    const uint8_t byte = static_cast<uint8_t>(*at_++);
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;  // of a tenth byte only the lowest bit fits
    if (byte < 0x80) {
      *value = result;
      return true;
    }
  }
  return false;
}

bool WireReader::LongSize(uint32_t* size) {
  const char* const begin = at_;
  uint64_t value = 0;
  if (!LongVarint(&value) || at_ - begin > 5 || value > 0x7fffffff - 16) return false;
  *size = static_cast<uint32_t>(value);
  return true;
}

bool WireReader::Skip(uint32_t number, WireType type) {
  uint64_t varint;
  absl::string_view bytes;
  const char* fixed;
  switch (type) {
    case WireType::kVarint:
      return Varint(&varint);
    case WireType::kFixed64:
      return Fixed(8, &fixed);
    case WireType::kBytes:
      return Bytes(&bytes);
    case WireType::kGroup:
      return SkipGroup(number);
    case WireType::kFixed32:
      return Fixed(4, &fixed);
    case WireType::kEndGroup:
      return false;
  }
  return false;
}

bool WireReader::SkipGroup(uint32_t number) {
  uint32_t open[kDeepestMessage];  // numbers of the groups that are still open
  int depth = 0;
  const int most = kDeepestMessage - depth_;
  if (most < 1) return false;
  open[depth++] = number;
  while (depth > 0) {
    uint32_t inner = 0;
    WireType type;
    if (!Tag(&inner, &type)) return false;
    if (type == WireType::kGroup) {
      if (depth == most) return false;
      open[depth++] = inner;
    } else if (type == WireType::kEndGroup) {
      if (open[--depth] != inner) return false;
    } else if (!Skip(inner, type)) {
      return false;
    }
  }
  return true;
}

}  // namespace lockstep::data
