// What a run does about failures that have been: work that killed its rank, and ranks whose states differ.
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

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
  constexpr size_t kShown = 4;
  std::string places;
  for (size_t i = 0; i < std::min(kShown, poison->size()); ++i) {
    const WorkMark& mark = (*poison)[i];
    absl::StrAppend(
        &places, "\n  step ", mark.step, ", lane ", mark.lane,
        mark.stage == WorkStage::kDecode ? ", reading" : absl::StrCat(", ", mark.item, " operators done, of"),
        " ", feed_->DescribeRecords(mark));
  }
  return DataError(absl::StrCat(
      "twice in a row ranks died at the same place:", places,
      poison->size() > kShown ? absl::StrCat("\n  and at ", poison->size() - kShown, " more") : "",
      "\nAll deaths are in ", paths.deaths(),
      ". Take the records out, or mend what dies of them; starting again tries once more, and "
      "execution.stop_on_poison: false tries for ever"));
}

void Session::OpenMarks() {
  const RunPaths paths(options_.out);
  absl::Status status = options_.file_system->CreateFolders(paths.attempts());
  if (status.ok()) {
    auto marks = WorkMarks::Create(
        JoinPath(paths.attempts(), absl::StrCat("rank-", options_.world->rank, "-", getpid())));
    status = marks.status();
    if (marks.ok()) marks_ = *std::move(marks);
  }
  // A run without marks is as good as any, until a record kills it.
  if (!status.ok()) log_->Warning(absl::StrCat("work in progress is not marked: ", status.message()));
  feed_->SetMarks(marks_.get());
}

// Checkpoints are written only of states that all ranks agree on, so the newest one of this run serves; and
// before the first, that which the run began from.
absl::StatusOr<FoundCheckpoint> Session::FindAgreedCheckpoint() const {
  ASSIGN_OR_RETURN(FoundCheckpoint found, FindCheckpoint(options_.file_system, options_.out));
  const int64_t began_at = point_.began_at;
  if (began_at < 0 || (found.checkpoint && found.checkpoint->manifest().step >= began_at)) return found;
  ASSIGN_OR_RETURN(found.checkpoint, LoadCheckpoint(options_.file_system, point_.began_from));
  return found;
}

void Session::EnterIntegrity() {
  const std::string events = folder_ ? folder_->paths().integrity() : std::string();
  if (integrity_ == nullptr) {
    integrity_ = std::make_unique<Integrity>(config_.execution().integrity(), communicator_.get(),
                                             config_.lanes(), options_.file_system, events);
  } else {
    integrity_->EnterGeneration(communicator_.get(), events);
  }
}

absl::Status Session::GoBack() {
  const Busy::Scope busy(&busy_);
  if (!point_.lost) {
    const absl::Status begun = AgreeOnStatus(*communicator_, integrity_->BeginReplay());
    if (!begun.ok()) return communicator_->status().ok() ? integrity_->GiveUp(begun.message()) : begun;
  }
  going_back_ = true;
  (void)ReachFault(options_.faults, "heal.back");
  // Until all of it is done, this rank has no state that counts.
  point_.stage = Stage::kNothing;
  point_.last = StepMetrics();
  point_.eval = EvalMetrics();
  point_.eval.step = -1;
  point_.loss = 0;
  point_.signal = 0;
  point_.new_best = false;
  point_.saved_step = point_.lost_step = -1;
  // What writes to the run folder ends first; a save under way is of an agreed state and is waited for.
  CloseObservers();
  kept_best_.Forget();
  // Memory that failed is not used again.
  interruption_.Cover(nullptr, nullptr);
  if (feed_ != nullptr) feed_->Pause();
  replica_.reset();
  compressor_.reset();
  evaluator_.reset();
  optimizer_.reset();
  state_.reset();
  team_.reset();
  const RunCounters diverged_at = std::exchange(point_.counters, RunCounters());
  hashes_ = StateHashes();
  MakeState();
  absl::Status status = AgreeOnStatus(*communicator_, MakeReplica());
  if (status.ok()) interruption_.Cover(replica_.get(), evaluator_.get());
  if (status.ok()) status = Resume();
  (void)ReachFault(options_.faults, "heal.loaded");
  if (status.ok()) status = AgreeOnStatus(*communicator_, StartFeed());
  if (status.ok()) status = AgreeOnStatus(*communicator_, OpenObservers());
  if (status.ok() && desk_ != nullptr) desk_->SetPaused(point_.paused);
  if (status.ok()) status = OpenCheckpoints();
  going_back_ = false;
  if (status.ok()) {
    point_.diverged = point_.lost = false;
    return status;
  }
  // A death in the middle of it: whoever goes on begins it again.
  point_.stage = Stage::kNothing;
  point_.diverged = true;
  point_.counters = diverged_at;
  return status;
}

}  // namespace lockstep::train
