// How a Session's checkpoints are written: by whom, and what is said about it.

#include "absl/strings/str_cat.h"
#include "runtime/train/checkpoint_team.h"
#include "runtime/train/session.h"

namespace lockstep::train {

absl::Status Session::OpenCheckpoints() {
  const CheckpointConfig& config = config_.execution().checkpoint();
  // What compression leaves unsent is gathered on rank 0, which then writes alone.
  const int64_t shard_bytes = compressor_ != nullptr ? 0 : config.shard_mib() * (int64_t{1} << 20);
  CheckpointWriterOptions writer;
  ASSIGN_OR_RETURN(writer.team, FormSaveTeam(*communicator_, options_.file_system, options_.out,
                                             state_->size_bytes(), shard_bytes, log_));
  save_shards_ = writer.team.shards;
  const int rank = communicator_->rank();
  if (rank != 0 && writer.team.shards == 1) return absl::OkStatus();  // rank 0 writes alone
  writer.fs = options_.file_system;
  writer.folder = RunPaths(options_.out).checkpoints();
  writer.keep_last = config.keep_last();
  writer.keep_every_steps = config.keep_every_steps();
  writer.while_waiting = [this] { communicator_->NoteProgress(); };
  writer.on_done = [this, rank](const SaveOutcome& outcome) {
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
  };
  if (rank == 0) {
    writer.before_commit = [this](int64_t) -> absl::Status {
      RETURN_IF_ERROR(audience_->Sync());
      (void)ReachFault(options_.faults, "save.commit");
      return membership_ != nullptr ? membership_->CheckCurrent() : absl::OkStatus();
    };
    if (writer.team.shards > 1) log_->Info(absl::StrCat(writer.team.shards, " ranks write checkpoints"));
  }
  checkpoints_ = std::make_unique<CheckpointWriter>(std::move(writer));
  return absl::OkStatus();
}

// A save under way that some of its writers will not finish ends here, and is due again.
void Session::CloseCheckpoints() {
  if (checkpoints_ != nullptr) checkpoints_->Abandon();
  checkpoints_.reset();
}

}  // namespace lockstep::train
