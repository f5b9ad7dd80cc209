// Hashes: SHA-256 for identity (weights, recipes, datasets), CRC-32C for damage (records, checkpoints,
// frames).
#ifndef LOCKSTEP_RUNTIME_CORE_HASH_H_
#define LOCKSTEP_RUNTIME_CORE_HASH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep {

// Incremental SHA-256. Not thread-safe. After Hex() nothing more may be added.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(const void* data, size_t size_bytes);
  void Update(absl::string_view bytes) { Update(bytes.data(), bytes.size()); }
  // Little-endian, whatever the machine.
  void UpdateU32(uint32_t value);
  void UpdateU64(uint64_t value);
  std::string Hex();  // 64 lower-case digits

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string Sha256Hex(absl::string_view bytes);

// HMAC-SHA256 as 32 raw bytes.
std::string HmacSha256(absl::string_view key, absl::string_view message);

// CRC-32C (Castagnoli), continued from `crc`, the CRC of what came before (0 at the start).
uint32_t Crc32c(uint32_t crc, const void* data, size_t size_bytes);

// The masking that TFRecord and LevelDB store CRCs under: rotated right by 15, plus a constant.
inline uint32_t MaskCrc(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }
inline uint32_t UnmaskCrc(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_HASH_H_
