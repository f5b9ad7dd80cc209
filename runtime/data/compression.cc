#include "runtime/data/compression.h"

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "runtime/data/record_format.h"

namespace lockstep::data {
namespace {

bool IsRecordHeader(absl::string_view bytes) {
  return bytes.size() >= kRecordHeaderBytes && MaskedCrcOf(bytes.data(), 8) == LoadU32(bytes.data() + 8);
}

// RFC 1950: method 8, a window of at most 32 KiB, a header that is a multiple of 31.
bool IsZlibHeader(absl::string_view bytes) {
  if (bytes.size() < 2) return false;
  const int method = static_cast<unsigned char>(bytes[0]), flags = static_cast<unsigned char>(bytes[1]);
  return (method & 15) == 8 && (method >> 4) <= 7 && (method * 256 + flags) % 31 == 0;
}

// A frame, or a skippable one, which says nothing and may stand before it.
bool IsZstdFrame(absl::string_view bytes) {
  if (bytes.size() < 4) return false;
  const uint32_t magic = LoadU32(bytes.data());
  return magic == 0xfd2fb528u || (magic & ~15u) == 0x184d2a50u;
}

}  // namespace

absl::string_view NameOf(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "NONE";
    case Compression::kGzip:
      return "GZIP";
    case Compression::kZlib:
      return "ZLIB";
    case Compression::kZstd:
      return "ZSTD";
  }
  return "?";
}

absl::StatusOr<Compression> ParseCompression(absl::string_view name) {
  for (int i = 0; i < kCompressions; ++i) {
    const auto compression = static_cast<Compression>(i);
    if (absl::EqualsIgnoreCase(name, NameOf(compression))) return compression;
  }
  return ConfigError(absl::StrCat("'", name, "' is no compression; there are none, gzip, zlib and zstd"));
}

Compression DetectCompression(absl::string_view bytes) {
  if (IsRecordHeader(bytes)) return Compression::kNone;
  if (absl::StartsWith(bytes, "\x1f\x8b")) return Compression::kGzip;
  if (IsZstdFrame(bytes)) return Compression::kZstd;
  return IsZlibHeader(bytes) ? Compression::kZlib : Compression::kNone;
}

absl::string_view SuffixOf(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "";
    case Compression::kGzip:
      return ".gz";
    case Compression::kZlib:
      return ".zlib";
    case Compression::kZstd:
      return ".zst";
  }
  return "";
}

absl::string_view PlainName(absl::string_view name, Compression compression) {
  static constexpr absl::string_view kEndings[kCompressions][2] = {
      {"", ""}, {".gz", ".gzip"}, {".zlib", ".zz"}, {".zst", ".zstd"}};
  for (const absl::string_view ending : kEndings[static_cast<int>(compression)]) {
    if (name.size() > ending.size() && absl::EndsWith(name, ending)) return absl::StripSuffix(name, ending);
  }
  return name;
}

}  // namespace lockstep::data
