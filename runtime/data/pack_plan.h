// Which documents share a window of tokens, so that few windows hold them all and few documents are cut.
#ifndef LOCKSTEP_RUNTIME_DATA_PACK_PLAN_H_
#define LOCKSTEP_RUNTIME_DATA_PACK_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace lockstep::data {

// A part of a document: `length` positions from `first` on.
struct PackedPiece {
  int64_t document = 0, first = 0, length = 0;
  friend bool operator==(const PackedPiece&, const PackedPiece&) = default;
};

struct PackPlan {
  std::vector<PackedPiece> pieces;  // of all windows, one window behind the other
  std::vector<size_t> ends;         // of each window among the pieces

  int64_t windows() const { return static_cast<int64_t>(ends.size()); }
  absl::Span<const PackedPiece> Window(int64_t window) const {
    const size_t begin = window == 0 ? 0 : ends[static_cast<size_t>(window) - 1];
    return absl::MakeSpan(pieces).subspan(begin, ends[static_cast<size_t>(window)] - begin);
  }
};

// Documents of `lengths` positions each (0: it is left out) into windows of `window` >= 1. One that is
// longer is cut into whole windows and a rest. Pieces are placed by best fit, the longest first and of equal
// ones the first document first: each into the fullest window that still has room, of equally full ones the
// oldest (Johnson 1973: at most 11/9 of the fewest windows possible, and in practice hardly more). Within a
// window pieces stand in the order of their documents, and windows in that of their first pieces. A pure
// function; O(n log n) time.
PackPlan PlanPacks(absl::Span<const int64_t> lengths, int64_t window);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_PACK_PLAN_H_
