#include "runtime/data/record_errors.h"

#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace lockstep::data {
namespace {

// What a file that does not begin with a record probably is; empty when nothing is known.
std::string GuessFormat(absl::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const std::string decompress =
      " compressed as a whole; compressed record files cannot be read yet: decompress it";
  if (bytes.size() >= 2 && byte(0) == 0x1f && byte(1) == 0x8b) return "it is GZIP" + decompress;
  if (bytes.size() >= 2 && byte(0) == 0x78 && (byte(0) * 256 + byte(1)) % 31 == 0)
    return "it looks ZLIB" + decompress;
  if (absl::StartsWith(bytes, absl::string_view("\x28\xb5\x2f\xfd", 4))) return "it is ZSTD" + decompress;
  if (absl::StartsWith(bytes, "PK\x03\x04")) return "it is a ZIP archive";
  return "it is not a TFRecord file, or damaged from its first byte";
}

}  // namespace

absl::Status HeaderError(const std::string& path, absl::string_view bytes, uint64_t offset, int64_t record) {
  return HeaderErrorAt(path, bytes.substr(offset), bytes.size() - offset, offset, record);
}

absl::Status HeaderErrorAt(const std::string& path, absl::string_view begin, uint64_t rest_bytes,
                           uint64_t offset, int64_t record) {
  const uint64_t rest = rest_bytes;
  const bool whole_header = begin.size() >= kRecordHeaderBytes;
  const char* header = begin.data();
  if (whole_header && MaskedCrcOf(header, 8) == LoadU32(header + 8)) {
    return DataError(
        absl::StrFormat("%s is cut short: record %d at byte %u has a payload of %u bytes, and the file "
                        "ends %u bytes after its start",
                        path, record, offset, LoadU64(header), rest));
  }
  if (offset == 0 && (whole_header || rest >= 4)) {
    const std::string guess = GuessFormat(begin);
    if (!whole_header) return DataError(absl::StrFormat("%s has only %u bytes: %s", path, rest, guess));
    return DataError(
        absl::StrFormat("%s: %s (record 0 at byte 0: the length %u has the stored checksum %08x, computed "
                        "%08x)",
                        path, guess, LoadU64(header), LoadU32(header + 8), MaskedCrcOf(header, 8)));
  }
  if (!whole_header) {
    return DataError(
        absl::StrFormat("%s is cut short: record %d begins at byte %u, and the file ends %u bytes later, "
                        "within its header",
                        path, record, offset, rest));
  }
  return DataError(
      absl::StrFormat("%s, byte %u, record %d: the length is damaged (%u; checksum stored %08x, computed "
                      "%08x); nothing behind it can be found",
                      path, offset, record, LoadU64(header), LoadU32(header + 8), MaskedCrcOf(header, 8)));
}

absl::Status PayloadError(const std::string& path, absl::string_view bytes, uint64_t offset, int64_t record) {
  return PayloadErrorAt(path, bytes.substr(offset), offset, record);
}

absl::Status PayloadErrorAt(const std::string& path, absl::string_view record_bytes, uint64_t offset,
                            int64_t record) {
  const char* header = record_bytes.data();
  const uint64_t length = LoadU64(header);
  const char* payload = header + kRecordHeaderBytes;
  return DataError(
      absl::StrFormat("%s, byte %u, record %d: the payload of %u bytes is damaged (checksum stored %08x, "
                      "computed %08x)",
                      path, offset, record, length, LoadU32(payload + length), MaskedCrcOf(payload, length)));
}

namespace {
constexpr char kDamageUrl[] = "lockstep/record-damage";
}  // namespace

absl::Status WithDamage(absl::Status error, const std::string& path, absl::string_view bytes, uint64_t offset,
                        int64_t record) {
  return WithDamageAt(std::move(error), path, bytes.substr(offset), offset, record);
}

absl::Status WithDamageAt(absl::Status error, const std::string& path, absl::string_view record_bytes,
                          uint64_t offset, int64_t record) {
  if (record_bytes.size() < kRecordFramingBytes) return error;
  const char* header = record_bytes.data();
  const uint64_t length = LoadU64(header);
  uint32_t stored = LoadU32(header + 8), computed = MaskedCrcOf(header, 8);
  const bool in_length = stored != computed;
  if (!in_length) {
    if (length > record_bytes.size() - kRecordFramingBytes) return error;  // cut short
    const char* payload = header + kRecordHeaderBytes;
    stored = LoadU32(payload + length);
    computed = MaskedCrcOf(payload, length);
    if (stored == computed) return error;
  }
  error.SetPayload(kDamageUrl, absl::Cord(absl::StrCat(offset, " ", record, " ", in_length ? 1 : 0, " ",
                                                       stored, " ", computed, " ", path)));
  return error;
}

std::optional<RecordDamage> DamageOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kDamageUrl);
  if (!payload) return std::nullopt;
  const std::vector<std::string> parts = absl::StrSplit(std::string(*payload), absl::MaxSplits(' ', 5));
  RecordDamage damage;
  int in_length = 0;
  if (parts.size() != 6 || !absl::SimpleAtoi(parts[0], &damage.offset) ||
      !absl::SimpleAtoi(parts[1], &damage.record) || !absl::SimpleAtoi(parts[2], &in_length) ||
      !absl::SimpleAtoi(parts[3], &damage.stored) || !absl::SimpleAtoi(parts[4], &damage.computed)) {
    return std::nullopt;
  }
  damage.in_length = in_length != 0;
  damage.path = parts[5];
  return damage;
}

}  // namespace lockstep::data
