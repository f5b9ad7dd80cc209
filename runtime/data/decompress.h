// Undoes the compression of a whole file, in memory.
#ifndef LOCKSTEP_RUNTIME_DATA_DECOMPRESS_H_
#define LOCKSTEP_RUNTIME_DATA_DECOMPRESS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/compression.h"
#include "runtime/data/growing_memory.h"

namespace lockstep::data {

// Appends to `out` what `stored` holds, to its last byte, comparing the stream's own checksums (CRC-32 of
// each gzip member, Adler-32 of zlib, XXH64 of a zstd frame that has one). What a stream claims about its
// size is not believed: memory grows with what really comes out, and ends with the budget of `out`. Gzip and
// zlib by ISA-L, zstd by its library, whose window may have at most 128 MiB.
// Errors: DataError naming `path` and how far it came, for a damaged stream, one cut short, bytes behind its
// end, or more than the budget holds. `out` then has what came out before.
absl::Status Decompress(const std::string& path, Compression compression, absl::string_view stored,
                        GrowingMemory* out);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_DECOMPRESS_H_
