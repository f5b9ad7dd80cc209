// Ranks that end together: what one of them finds out, all of them say.
#ifndef LOCKSTEP_RUNTIME_TRAIN_AGREEMENT_H_
#define LOCKSTEP_RUNTIME_TRAIN_AGREEMENT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "comm/communicator.h"
#include "runtime/core/status.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// A collective. OK everywhere when every rank's `status` is OK; otherwise the error of the lowest rank that
// has one, with its kind and "rank 2: " before its message, on every rank. If talking fails, a rank's own
// error comes first.
absl::Status AgreeOnStatus(comm::Communicator& communicator, const absl::Status& status);

// A collective: rank 0's text on every rank.
absl::StatusOr<std::string> BroadcastText(comm::Communicator& communicator, absl::string_view text);

// A collective: the root's bytes of each buffer, into every rank's buffer of the same place in the list.
absl::Status BroadcastTensors(comm::Communicator& communicator, absl::Span<const NamedBuffer> tensors,
                              int root = 0);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_AGREEMENT_H_
