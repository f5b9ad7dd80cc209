// Compresses a stream of bytes as a whole (compression.h).
#ifndef LOCKSTEP_RUNTIME_DATA_COMPRESSOR_H_
#define LOCKSTEP_RUNTIME_DATA_COMPRESSOR_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/compression.h"

namespace lockstep::data {

// Not thread-safe. The same bytes in the same calls give the same stream. Levels are those at which writing
// is not the slowest part of making records: ISA-L's 2 for gzip and zlib, zstd's 3 with its checksum.
class Compressor {
 public:
  virtual ~Compressor() = default;
  // Appends to `out` what `bytes` add to the stream; some of it may come with later calls.
  virtual absl::Status Append(absl::string_view bytes, std::string* out) = 0;
  // Appends the rest. Nothing may follow.
  virtual absl::Status Finish(std::string* out) = 0;
};

std::unique_ptr<Compressor> MakeCompressor(Compression compression);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_COMPRESSOR_H_
