// How a run whose ranks hold different states goes on: from the newest state that all of them agreed on.
#include "runtime/train/agreement.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/session.h"

namespace lockstep::train {

// Checkpoints are written only of states that all ranks agree on, so the newest one of this process serves; and
// before the first, that which the process began from.
absl::StatusOr<FoundCheckpoint> Session::FindAgreedCheckpoint() const {
  ASSIGN_OR_RETURN(FoundCheckpoint found, FindCheckpoint(options_.file_system, options_.out));
  if (began_at_ < 0 || (found.checkpoint && found.checkpoint->manifest().step >= began_at_)) return found;
  ASSIGN_OR_RETURN(found.checkpoint, LoadCheckpoint(options_.file_system, began_from_));
  return found;
}

absl::Status Session::GoBack() {
  RETURN_IF_ERROR(integrity_->BeginReplay());
  going_back_ = true;
  // What writes to the run folder ends first; a save under way is of an agreed state and is waited for.
  checkpoints_.reset();
  log_ = options_.log;
  logger_beside_.reset();
  observers_.clear();
  // Memory that failed is not used again.
  replica_.reset();
  compressor_.reset();
  evaluator_.reset();
  optimizer_.reset();
  state_.reset();
  team_.reset();
  counters_ = RunCounters();
  last_loss_ = 0;
  hashes_ = StateHashes();
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, MakeReplica()));
  RETURN_IF_ERROR(Resume());
  return AgreeOnStatus(*communicator_, OpenObservers());
}

}  // namespace lockstep::train
