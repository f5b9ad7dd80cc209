// Moving pieces of one flat array between ranks that each hold some of it: for checkpoints, and when shards are
// dealt anew.
#ifndef LOCKSTEP_RUNTIME_TRAIN_SHARD_TRANSFER_H_
#define LOCKSTEP_RUNTIME_TRAIN_SHARD_TRANSFER_H_

#include <functional>
#include <vector>

#include "absl/types/span.h"
#include "comm/communicator.h"
#include "runtime/core/status.h"
#include "runtime/train/shard_plan.h"

namespace lockstep::train {

struct Transfer {
  int from = 0;
  int to = 0;  // may be `from`
  ElementRange range;
};
struct TransferPlan {
  std::vector<Transfer> transfers;  // by range; neighbours of one pair are one
  ElementRanges missing;            // needed by somebody, held by nobody
};
// Pure. `holds` and `needs` by rank. Who holds what it needs takes it from itself; the others' needs are spread
// over the holders.
TransferPlan PlanTransfers(absl::Span<const ElementRanges> holds, absl::Span<const ElementRanges> needs);

// Copies a range that this rank holds out to `to`, or one that it needs in from `from`.
using ReadRange = std::function<void(ElementRange range, float* to)>;
using WriteRange = std::function<void(ElementRange range, const float* from)>;

// A collective: every rank gets what it needs. Goes window by window (of the flat array; they cover all needs), so
// the memory besides is a few windows. `holds` and `needs` are the same on all ranks, and nothing is missing.
// Error: the communicator's; some needs may have been written then.
absl::Status MoveRanges(comm::Communicator& communicator, absl::Span<const ElementRanges> holds,
                        absl::Span<const ElementRanges> needs, absl::Span<const ElementRange> windows,
                        const ReadRange& read, const WriteRange& write);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_SHARD_TRANSFER_H_
