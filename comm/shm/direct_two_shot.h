// The loads and stores of a two-shot all-reduce over memory that all ranks map. Apart from the engine, so
// that the benchmark can time the very same without any waiting (comm/bench/memory_bound.h). Internal to
// comm/.
#ifndef LOCKSTEP_COMM_SHM_DIRECT_TWO_SHOT_H_
#define LOCKSTEP_COMM_SHM_DIRECT_TWO_SHOT_H_

#include <algorithm>
#include <cstddef>

#include "absl/types/span.h"
#include "comm/call.h"
#include "comm/reduce/reduce.h"
#include "comm/reduction_plan.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

// By segments: every rank reduces its share of the segment into its own result, then copies the other shares
// from the others' results.
//
// In place is safe: only the owner of a share reads that share of the inputs, and a rank overwrites other
// ranks' shares of its own result only after those have come to the barrier that follows their reading.
//
// Stores go around the caches where a peer has read the lines before: taking a line back from another core's
// cache costs more than memory does, several times more where the cores share no cache. In place those are
// the copied shares (their owners have just read them), otherwise the reduced ones (the peers copied them in
// the call before).
struct DirectTwoShot {
  // Bytes of a segment, over all shares. Small enough that a rank's results are still in the shared cache
  // when the others copy them, large enough to hide the barriers.
  static constexpr size_t kSegmentBytes = size_t{1} << 20;
  // From here on all ranks' data together is far larger than the caches.
  static constexpr size_t kLargeBytes = size_t{16} << 20;

  const ReduceProgram& program;
  absl::Span<const std::byte* const> inputs;  // in the program's order
  absl::Span<std::byte* const> results;       // of all ranks
  int rank, size;
  size_t count, element_bytes;

  // `sync.Arrive()` says that this rank has come to the next barrier, `sync.Await(behind)` waits for all to
  // have come to the one before the last `behind` arrivals (as ShmGroup does).
  template <typename Sync>
  absl::Status Run(Sync&& sync) const {
    const size_t grain = size_t{16} * size;
    const size_t segment = std::max(grain, kSegmentBytes / element_bytes / grain * grain);
    const bool in_place = std::find(inputs.begin(), inputs.end(), results[rank]) != inputs.end();
    const bool large = count * element_bytes >= kLargeBytes;
    const Stores reduced = in_place ? Stores::kCached : Stores::kStreaming;
    const Stores copied = in_place || large ? Stores::kStreaming : Stores::kCached;
    Pointers<const void*> at(inputs.size());
    const auto reduce = [&](size_t begin) {
      const Share mine = ShareOf(std::min(segment, count - begin), rank, size);
      const size_t offset = (begin + mine.begin) * element_bytes;
      for (size_t i = 0; i < inputs.size(); ++i) at[i] = inputs[i] + offset;
      program.Run(at.data(), results[rank] + offset, mine.count(), reduced);
      sync.Arrive();
    };
    if (count > 0) reduce(0);
    for (size_t begin = 0; begin < count; begin += segment) {
      // One segment ahead, so that a peer's short delay is not waited for.
      const bool more = begin + segment < count;
      if (more) reduce(begin + segment);
      RETURN_IF_ERROR(sync.Await(more ? 1 : 0));
      for (int k = 1; k < size; ++k) {
        const int peer = (rank + k) % size;
        const Share theirs = ShareOf(std::min(segment, count - begin), peer, size);
        const size_t offset = (begin + theirs.begin) * element_bytes;
        CopyBytes(results[rank] + offset, results[peer] + offset, theirs.count() * element_bytes, copied);
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_SHM_DIRECT_TWO_SHOT_H_
