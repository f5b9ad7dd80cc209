// Damaged records in the words of ledger and log.
#ifndef LOCKSTEP_RUNTIME_TRAIN_DAMAGE_REPORT_H_
#define LOCKSTEP_RUNTIME_TRAIN_DAMAGE_REPORT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "comm/communicator.h"
#include "runtime/core/status.h"
#include "runtime/data/batcher.h"

namespace lockstep::train {

// JSON objects with commas between them, in the order of `samples`: position and id of the sample, the id
// that is instead of it (null: none, it has weight 0), and of its record the file, the byte of its header,
// the number within the file, which part is damaged ("payload", "length") and that part's checksum, stored
// and computed.
//   {"position": 96, "id": 12, "instead": 40, "file": "a.tfrecord", "byte": 1356, "record": 12,
//    "part": "payload", "stored": "0a1b2c3d", "computed": "99887766"}
std::string DamageObjects(absl::Span<const data::DamagedSample> samples);

// A collective: all ranks' samples as one JSON array, on every rank. Ranks own lanes in order, so it is in
// the order of positions, the same in any world.
absl::StatusOr<std::string> GatherDamage(comm::Communicator& communicator,
                                         absl::Span<const data::DamagedSample> samples);

// The first objects of such an array, for people, and how many more there are.
std::string FirstOf(absl::string_view array, int64_t count);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_DAMAGE_REPORT_H_
