// The TFRecord format (tensorflow/core/lib/io/record_writer.h): records one after another, no header and no
// footer.
//
//   offset  bytes  content
//   0       8      length of the payload, u64
//   8       4      masked CRC-32C of those 8 bytes, u32
//   12      n      payload
//   12 + n  4      masked CRC-32C of the payload, u32
//
// All little-endian; MaskCrc in runtime/core/hash.h. A damaged payload can be stepped over, since its length
// was checked; after a damaged length nothing more can be found in the file without an index.
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_FORMAT_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_FORMAT_H_

#include <cstdint>
#include <cstring>

#include "runtime/core/hash.h"

namespace lockstep::data {

inline constexpr uint64_t kRecordHeaderBytes = 12;
inline constexpr uint64_t kRecordTrailerBytes = 4;
inline constexpr uint64_t kRecordFramingBytes = kRecordHeaderBytes + kRecordTrailerBytes;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored as they are in memory");

inline uint32_t LoadU32(const char* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline uint64_t LoadU64(const char* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// The CRC as it is stored.
inline uint32_t MaskedCrcOf(const void* data, size_t size_bytes) {
  return MaskCrc(Crc32c(0, data, size_bytes));
}

// Writes the 12 bytes before a payload of `length` bytes.
inline void EncodeRecordHeader(uint64_t length, char* out) {
  std::memcpy(out, &length, sizeof length);
  const uint32_t crc = MaskedCrcOf(out, sizeof length);
  std::memcpy(out + 8, &crc, sizeof crc);
}

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_FORMAT_H_
