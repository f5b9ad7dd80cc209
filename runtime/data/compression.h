// How a record file is compressed as a whole: the stream of records goes through one compressor, so nothing
// in it can be found without decompressing what lies before. TensorFlow writes and reads the first three.
#ifndef LOCKSTEP_RUNTIME_DATA_COMPRESSION_H_
#define LOCKSTEP_RUNTIME_DATA_COMPRESSION_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep::data {

// The numbers are stored in index files: they stay.
enum class Compression : uint8_t {
  kNone = 0,
  kGzip = 1,  // RFC 1952, of one member or several
  kZlib = 2,  // RFC 1950
  kZstd = 3,  // RFC 8878: an extension of Lockstep's own, which TensorFlow cannot read
};
inline constexpr int kCompressions = 4;

absl::string_view NameOf(Compression compression);  // "NONE", "GZIP", "ZLIB", "ZSTD"

// "none", "gzip", "zlib" or "zstd", in any case. Error: ConfigError listing them.
absl::StatusOr<Compression> ParseCompression(absl::string_view name);

// What a file's first bytes say; its name never does. A file that begins with a whole record header (its
// checksum fits) is plain whatever else it looks like, and so is one that begins as nothing known.
Compression DetectCompression(absl::string_view bytes);

// What a writer adds to a file's name: "", ".gz", ".zlib" or ".zst".
absl::string_view SuffixOf(Compression compression);

// `name` without the ending that is usual for `compression` (".gz" or ".gzip", ".zlib" or ".zz", ".zst" or
// ".zstd"), if it has it: what the file would be called if it were plain.
absl::string_view PlainName(absl::string_view name, Compression compression);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_COMPRESSION_H_
