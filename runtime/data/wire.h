// Reading the protobuf wire format from bytes that may be anything:
// https://protobuf.dev/programming-guides/encoding
#ifndef LOCKSTEP_RUNTIME_DATA_WIRE_H_
#define LOCKSTEP_RUNTIME_DATA_WIRE_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace lockstep::data {

enum class WireType : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5
};

// Messages and groups may stand so deep inside each other, the outermost not counted (protobuf's own limit).
inline constexpr int kDeepestMessage = 100;

// A cursor over the fields of one message. Every method returns false where the bytes end or are no wire
// format; the cursor must not be used after that. Accepts what protobuf accepts and nothing else.
class WireReader {
 public:
  // `depth`: how many messages stand around this one.
  explicit WireReader(absl::string_view bytes, int depth = 0)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()), depth_(depth) {}

  bool done() const { return at_ == end_; }
  absl::string_view rest() const { return {at_, static_cast<size_t>(end_ - at_)}; }

  // A field's number and type, at most five bytes.
  bool Tag(uint32_t* number, WireType* type) {
    uint32_t tag = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      if (at_ == end_) return false;
      const uint8_t byte = static_cast<uint8_t>(*at_++);
      tag |= static_cast<uint32_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        *number = tag >> 3;
        *type = static_cast<WireType>(tag & 7);
        return *number != 0 && (tag & 7) <= 5;
      }
    }
    return false;
  }

  bool Varint(uint64_t* value) {
    if (at_ != end_ && static_cast<uint8_t>(*at_) < 0x80) {  // most are one byte
      *value = static_cast<uint8_t>(*at_++);
      return true;
    }
    return LongVarint(value);
  }

  bool Bytes(absl::string_view* bytes) {
    uint32_t size = 0;
    if (!Size(&size) || size > static_cast<uint64_t>(end_ - at_)) return false;
    *bytes = absl::string_view(at_, size);
    at_ += size;
    return true;
  }

  // `size` <= 8 bytes as they are.
  bool Fixed(size_t size, const char** bytes) {
    if (static_cast<size_t>(end_ - at_) < size) return false;
    *bytes = at_;
    at_ += size;
    return true;
  }

  // Steps over the value of a field whose tag was read, with all that a group holds.
  bool Skip(uint32_t number, WireType type);

 private:
  // A length: at most five bytes, and at most 2^31 - 17.
  bool Size(uint32_t* size) {
    if (at_ != end_ && static_cast<uint8_t>(*at_) < 0x80) {
      *size = static_cast<uint8_t>(*at_++);
      return true;
    }
    return LongSize(size);
  }
  bool LongSize(uint32_t* size);
  bool LongVarint(uint64_t* value);
  bool SkipGroup(uint32_t number);

  const char* at_;
  const char* end_;
  int depth_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_WIRE_H_
