// How a Session's checkpoints are written: by whom, and what is said about it.
//
// A team of writers belongs to a generation. A rank 0 that writes alone and stays rank 0 goes on, over all
// generations, with the save that it is in the middle of: no recovery waits for a disk.

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/train/checkpoint_team.h"
#include "runtime/train/session.h"

namespace lockstep::train {

// What the writers' threads ask about the ranks that they wait for. They may outlive the communicator.
struct Session::TeamHealth {
  std::mutex mutex;
  comm::Communicator* communicator = nullptr;

  absl::Status Ask() {
    std::lock_guard lock(mutex);
    return communicator != nullptr ? communicator->status() : PeerError("the ranks' membership has changed");
  }
};

void Session::EndTeamOfWriters() {
  if (team_health_ == nullptr) return;
  std::lock_guard lock(team_health_->mutex);
  team_health_->communicator = nullptr;
}

CheckpointWriterOptions Session::WriterOptions() {
  const CheckpointConfig& config = config_.execution().checkpoint();
  const int rank = communicator_->rank();
  CheckpointWriterOptions writer;
  writer.fs = options_.file_system;
  writer.folder = RunPaths(options_.out).checkpoints();
  writer.keep_last = config.keep_last();
  writer.keep_every_steps = config.keep_every_steps();
  // On the loop's thread, as changes of the communicator are.
  writer.while_waiting = [this] {
    if (communicator_ != nullptr) communicator_->NoteProgress();
  };
  writer.on_done = [this, rank](const SaveOutcome& outcome) { SayHowSaved(outcome, rank); };
  if (rank == 0) {
    writer.before_commit = [this](int64_t) -> absl::Status {
      RETURN_IF_ERROR(audience_->Sync());
      (void)ReachFault(options_.faults, "save.commit");
      return membership_ != nullptr ? membership_->CheckCurrent() : absl::OkStatus();
    };
  }
  return writer;
}

absl::Status Session::OpenCheckpoints() {
  // What compression leaves unsent is gathered on rank 0, which then writes alone.
  const int64_t shard_mib = config_.execution().checkpoint().shard_mib();
  const int64_t shard_bytes = compressor_ != nullptr ? 0 : shard_mib * (int64_t{1} << 20);
  ASSIGN_OR_RETURN(SaveTeam team, FormSaveTeam(*communicator_, options_.file_system, options_.out,
                                               state_->size_bytes(), shard_bytes, log_));
  const int rank = communicator_->rank();
  save_shards_ = team.shards;
  const bool team_wrote = std::exchange(team_writes_, team.shards > 1);
  if (rank == 0 && checkpoints_ != nullptr && !team_wrote && !team_writes_) return absl::OkStatus();
  if (checkpoints_ != nullptr && team_wrote) checkpoints_->Abandon();
  checkpoints_.reset();
  team_health_.reset();
  if (rank != 0 && !team_writes_) return absl::OkStatus();  // rank 0 writes alone
  CheckpointWriterOptions writer = WriterOptions();
  writer.team = std::move(team);
  if (team_writes_) {
    team_health_ = std::make_shared<TeamHealth>();
    team_health_->communicator = communicator_.get();
    writer.team.patience.health = [health = team_health_] { return health->Ask(); };
    if (rank == 0) log_->Info(absl::StrCat(writer.team.shards, " ranks write checkpoints"));
  }
  checkpoints_ = std::make_unique<CheckpointWriter>(std::move(writer));
  return absl::OkStatus();
}

void Session::SayHowSaved(const SaveOutcome& outcome, int rank) {
  if (!outcome.status.ok() && rank == 0) {
    log_->Error(absl::StrCat("checkpoint of step ", outcome.step, " not saved: ", outcome.status.message(),
                             "; training goes on, older checkpoints are whole"));
  } else if (!outcome.status.ok()) {
    log_->Warning(absl::StrCat("this rank's part of the checkpoint of step ", outcome.step,
                               " not saved: ", outcome.status.message()));
  } else if (!outcome.after_commit.ok()) {
    log_->Warning(
        absl::StrCat("after the checkpoint of step ", outcome.step, ": ", outcome.after_commit.message()));
  }
}

// The rank that writes when rank 0 is gone; and rank 0 itself, which outlives the others of its team.
KeptBest* Session::PlaceForBest() {
  // Of a sharded optimizer's state no rank but those who write has enough.
  if (membership_ == nullptr || !config_.eval().keep_best() || Shards()) return nullptr;
  const int rank = communicator_->rank();
  return rank == 1 || (rank == 0 && team_writes_) ? &kept_best_ : nullptr;
}

// On rank 0. Whether the best checkpoint, of `step`, which a writer before left unfinished, is there now.
bool Session::WriteKeptBest(int64_t step) {
  if (kept_best_.step() != step) return false;
  if (checkpoints_ != nullptr) (void)checkpoints_->Wait();  // one save at a time
  const SaveOutcome outcome = kept_best_.Write(WriterOptions());
  SayHowSaved(outcome, 0);
  if (outcome.status.ok()) {
    log_->Info(absl::StrCat("the checkpoint of step ", step,
                            ", the best one, which was being written, is written from this rank's copy"));
  }
  return outcome.status.ok();
}

}  // namespace lockstep::train
