// Which reads fetch records that lie scattered over files: a pure function.
#ifndef LOCKSTEP_RUNTIME_DATA_READ_COALESCE_H_
#define LOCKSTEP_RUNTIME_DATA_READ_COALESCE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace lockstep::data {

// Bytes of one of several files.
struct Place {
  int file = 0;
  uint64_t offset = 0, size_bytes = 0;

  uint64_t end() const { return offset + size_bytes; }
  friend bool operator==(const Place& a, const Place& b) {
    return a.file == b.file && a.offset == b.offset && a.size_bytes == b.size_bytes;
  }
};

struct ReadPlan {
  std::vector<Place> reads;  // in the order in which they are first needed
  std::vector<int> read_of;  // of each wanted place: which of `reads` covers it
};

// `wanted` in the order in which it is needed. Places of a file that lie at most gap_bytes apart become one read, as long
// as that has at most most_bytes; what is larger by itself is read by itself.
ReadPlan Coalesce(absl::Span<const Place> wanted, uint64_t gap_bytes, uint64_t most_bytes);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_READ_COALESCE_H_
