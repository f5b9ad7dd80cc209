// Decompresses a gzip file in memory.
#ifndef LOCKSTEP_RUNTIME_DATA_GUNZIP_H_
#define LOCKSTEP_RUNTIME_DATA_GUNZIP_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep::data {

inline bool IsGzip(absl::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

// All members of a gzip file, their checksums compared. `name` is for errors: DataError where it is damaged, cut short, or
// larger than about `limit_bytes`.
absl::StatusOr<std::string> Gunzip(const std::string& name, absl::string_view compressed, size_t limit_bytes);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_GUNZIP_H_
