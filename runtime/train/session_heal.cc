// What a run does about failures that have been: work that killed its rank, and ranks whose states differ.
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "runtime/train/agreement.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/poison.h"
#include "runtime/train/session.h"

namespace lockstep::train {

absl::Status Session::CheckPoison() {
  if (communicator_->rank() != 0) return absl::OkStatus();
  const RunPaths& paths = folder_->paths();
  const auto poison = CollectDeaths(options_.file_system, paths.attempts(), paths.deaths(), log_);
  if (!poison.ok()) {
    log_->Warning(absl::StrCat("what earlier ranks died of stays unknown: ", poison.status().message()));
    return absl::OkStatus();
  }
  if (poison->empty() || !config_.execution().stop_on_poison()) return absl::OkStatus();
  const WorkMark& first = poison->front();
  const std::string where =
      absl::StrCat("step ", first.step, ", lane ", first.lane,
                   first.stage == WorkStage::kDecode ? ", while reading a record"
                                                     : absl::StrCat(", after ", first.item, " operators"));
  return DataError(absl::StrCat(
      "twice in a row a rank died at the same place: ", where, ". Records: ", feed_->DescribeRecords(first),
      poison->size() > 1 ? absl::StrCat(" (and at ", poison->size() - 1,
                                        " other places, where it may have been ", "killed for that)")
                         : "",
      ". All deaths are in ", paths.deaths(),
      ". Take the record out or mend what dies of it; starting again tries once more "
      "(execution.stop_on_poison: false tries for ever)"));
}

void Session::OpenMarks() {
  const RunPaths paths(options_.out);
  absl::Status status = options_.file_system->CreateFolders(paths.attempts());
  if (status.ok()) {
    auto marks = WorkMarks::Create(
        JoinPath(paths.attempts(), absl::StrCat("rank-", communicator_->rank(), "-", getpid())));
    status = marks.status();
    if (marks.ok()) marks_ = *std::move(marks);
  }
  // A run without marks is as good as any, until a record kills it.
  if (!status.ok()) log_->Warning(absl::StrCat("work in progress is not marked: ", status.message()));
  feed_->SetMarks(marks_.get());
}

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
