// Training, going on with other members after a failure or a change, and how a run ends.

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "comm/bootstrap.h"
#include "runtime/core/clock.h"
#include "runtime/train/agreement.h"
#include "runtime/train/session.h"

namespace lockstep::train {

int64_t Session::generation() const {
  return membership_ != nullptr ? static_cast<int64_t>(membership_->generation()) : 1;
}

LoopParts Session::PartsForLoop() {
  LoopParts parts;
  parts.config = &config_;
  parts.communicator = communicator_.get();
  parts.team = team_.get();
  parts.replica = replica_.get();
  parts.compressor = compressor_.get();
  parts.evaluator = evaluator_.get();
  parts.optimizer = optimizer_.get();
  parts.state = state_.get();
  parts.feed = feed_.get();
  parts.marks = marks_.get();
  parts.integrity = integrity_.get();
  parts.checkpoints = checkpoints_.get();
  parts.kept_best = PlaceForBest();
  parts.busy = &busy_;
  parts.trace = trace_.get();
  parts.log = log_;
  if (audience_ != nullptr) parts.observers.push_back(audience_.get());
  parts.ledger = options_.ledger;
  parts.stop_signal = options_.stop_signal;
  parts.membership = membership_.get();
  parts.desk = desk_;
  parts.generation = generation();
  parts.faults = options_.faults;
  parts.manifest = ManifestTemplate();
  return parts;
}

absl::StatusOr<TrainResult> Session::Train() {
  while (true) {
    LoopEnd end = LoopEnd::kDone;
    absl::StatusOr<TrainResult> result = RunGeneration(&end);
    absl::Status status = result.status();
    if (status.ok() && end == LoopEnd::kDiverged) {
      status = GoBack();
      if (status.ok()) continue;
    }
    const bool goes_on = status.ok() ? end == LoopEnd::kChange : IsForOthersToGoOn(status);
    if (goes_on) status = Change(status);
    if (!goes_on || !status.ok()) {
      if (audience_ != nullptr) audience_->OnEnd();
      if (!status.ok()) return status;
      return result;
    }
    if (left_) {
      TrainResult gone;
      gone.status = "left";
      gone.steps = point_.counters.step;
      gone.loss = point_.loss;
      return gone;
    }
  }
}

bool Session::IsForOthersToGoOn(const absl::Status& failure) const {
  return membership_ != nullptr && TroubleOf(failure) == Trouble::kPeer &&
         (integrity_ == nullptr || !integrity_->gave_up());
}

// Until it ends, fails, or the membership is to change; then the result means nothing.
absl::StatusOr<TrainResult> Session::RunGeneration(LoopEnd* end) {
  ASSIGN_OR_RETURN(*end, TrainLoop(PartsForLoop(), plan_, &point_).Run());
  if (*end != LoopEnd::kDone) return TrainResult();
  return Finish();
}

// Goes on with those who are left, or who are to stay and to come: at once, or after more deaths on the way.
// `failure`: of the communicator; OK for a change that all agreed on. An error means that this rank is out.
absl::Status Session::Change(absl::Status failure) {
  const double begin = MonotonicSeconds();
  const int64_t step = point_.counters.step;
  const int ranks = membership_->size();
  comm::RegroupRequest request;
  request.reason = failure;
  if (failure.ok() && point_.size > 0 && point_.size < ranks) request.size = point_.size;
  // On purpose, ranks part when they have written the checkpoint that they are in the middle of.
  if (failure.ok() && team_writes_) {
    if (checkpoints_ != nullptr) (void)checkpoints_->Wait();
    (void)communicator_->Barrier();  // who fails here is not in the next generation
  }
  const int attempts = 2 * ranks + 3;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    (void)ReachFault(options_.faults, "recovery.begin");
    if (communicator_ != nullptr && !request.reason.ok()) communicator_->Abort(request.reason);
    RETURN_IF_ERROR(membership_->Regroup(request));
    if (membership_->size() == 0) {
      log_->Warning(absl::StrCat("leaving the run after step ", step, ", as was asked; the others go on"));
      CloseWriters();
      DropGeneration();
      left_ = true;
      return absl::OkStatus();
    }
    TakeoverReport report;
    const absl::Status entered = EnterGeneration(&report);
    if (entered.ok()) {
      SayWhatChanged(report, MonotonicSeconds() - begin, failure.ok() ? LogLevel::kInfo : LogLevel::kWarning);
      return absl::OkStatus();
    }
    if (!IsForOthersToGoOn(entered)) return entered;
    log_->Warning(absl::StrCat("generation ", generation(), " failed before it began: ", entered.message()));
    request = {};
    request.reason = entered;
  }
  return PeerError(
      absl::StrCat("gave up after ", attempts,
                   " changes of membership that all failed; the last: ", request.reason.message()));
}

void Session::SayWhatChanged(const TakeoverReport& report, double seconds, LogLevel level) {
  if (communicator_->rank() != 0) return;
  const int ranks = communicator_->size();
  std::string text =
      absl::StrCat(membership_->Describe(), ": going on with ", ranks, ranks == 1 ? " rank" : " ranks",
                   " as generation ", generation(), absl::StrFormat(" after %.2f s", seconds));
  if (report.diverged) {
    log_->Log(level,
              absl::StrCat(text,
                           ", back at the newest checkpoint, since the ranks' states had been found to "
                           "differ"));
    return;
  }
  absl::StrAppend(&text, " from step ", point_.counters.step + 1, ", no step redone");
  if (!report.behind.empty()) {
    absl::StrAppend(&text, "; rank ", absl::StrJoin(report.behind, ", "), " took its result from rank ",
                    report.source);
  }
  if (!report.fresh.empty()) {
    absl::StrAppend(&text, "; rank ", absl::StrJoin(report.fresh, ", "),
                    " is new and took all state from rank ", report.source);
  }
  log_->Log(level, text);
}

absl::StatusOr<TrainResult> Session::Finish() {
  const Busy::Scope busy(&busy_);
  absl::Status saved;
  if (communicator_->rank() == 0) {
    const SaveOutcome outcome = checkpoints_->Wait();
    if (outcome.step >= 0) {
      hashes_ = outcome.hashes;
      saved = Annotate(outcome.status, absl::StrCat("the last checkpoint, of step ", outcome.step));
      if (!saved.ok()) saved = CheckpointError(saved.message());
    }
    // Not for a disk that failed: one of those who write together died, and the others write it again.
    if (!saved.ok()) RETURN_IF_ERROR(communicator_->status());
  }
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, saved));
  if (communicator_->rank() != 0 && checkpoints_ != nullptr) checkpoints_->Abandon();  // rank 0 is done
  ASSIGN_OR_RETURN(
      const std::string hashes,
      BroadcastText(*communicator_, absl::StrCat(hashes_.weights_sha256, " ", hashes_.state_sha256)));
  const std::vector<std::string> both = absl::StrSplit(hashes, ' ');
  hashes_ = {both[0], both[1]};
  // Every replica must have arrived at the same bits; a rank that did not is named before anyone believes the
  // result.
  const StateHashes own =
      HashState(state_->Tensors(), point_.counters.step, point_.counters.step * config_.global_batch(),
                point_.counters.ToManifest());
  RETURN_IF_ERROR(comm::CheckAgreement(*communicator_, {{"weights_sha256", own.weights_sha256}}));
  if (own.weights_sha256 != hashes_.weights_sha256) {
    return absl::InternalError("the weights in memory are not those of the last checkpoint");
  }

  TrainResult result;
  result.status = point_.signal != 0 ? "interrupted" : "done";
  result.signal = point_.signal;
  result.steps = point_.counters.step;
  result.loss = point_.loss;
  result.eval.insert(point_.eval.values.begin(), point_.eval.values.end());
  result.weights_sha256 = hashes_.weights_sha256;
  result.state_sha256 = hashes_.state_sha256;
  if (membership_ == nullptr) {
    RETURN_IF_ERROR(WriteOwnResult(result));
    return result;
  }
  // Nobody leaves before the result is written: should rank 0 die now, another writes it. From here on the
  // end of a process is no death.
  interruption_.Clear();
  (void)ReachFault(options_.faults, "result.before");
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, WriteOwnResult(result)));
  return result;
}

// On rank 0.
absl::Status Session::WriteOwnResult(const TrainResult& result) {
  if (communicator_->rank() != 0) return absl::OkStatus();
  if (membership_ != nullptr) RETURN_IF_ERROR(membership_->CheckCurrent());
  RunResult file = ResultSoFar();
  file.status = result.status;
  if (result.signal != 0) {  // of the process, too (docs/DESIGN.md, section 7): SIGUSR1 is no failure
    file.message = absl::StrCat("signal ", result.signal);
    file.exit_code = result.signal == SIGUSR1 ? 0 : 128 + result.signal;
  }
  file.loss = result.loss;
  file.eval = point_.eval.values;
  const double samples_here = static_cast<double>(point_.steps_here * config_.global_batch());
  file.samples_per_second = point_.seconds_here > 0 ? samples_here / point_.seconds_here : 0;
  RETURN_IF_ERROR(WriteResult(options_.file_system, folder_->paths().result(), file));
  log_->Info(absl::StrCat(result.status, " after step ", result.steps, " of ", plan_.horizon, ": loss ",
                          result.loss, file.eval.empty() ? "" : ", validation ",
                          absl::StrJoin(file.eval, ", ",
                                        [](std::string* out, const auto& entry) {
                                          absl::StrAppend(out, entry.first, " ", entry.second);
                                        }),
                          ", weights ", result.weights_sha256.substr(0, 16)));
  return absl::OkStatus();
}

RunResult Session::ResultSoFar() const {
  RunResult file;
  file.steps = point_.counters.step;
  file.skipped_steps = point_.counters.skipped_steps;
  file.damaged_records = point_.counters.damaged_records;
  file.weights_sha256 = hashes_.weights_sha256;
  file.state_sha256 = hashes_.state_sha256;
  file.samples = point_.counters.step * config_.global_batch();
  file.seconds = point_.seconds;
  file.world_size = communicator_ != nullptr ? communicator_->size() : 1;
  file.generations = generation();
  return file;
}

void Session::ReportFailure(const absl::Status& status) {
  if (!folder_) return;  // another rank writes, or the folder is not ours
  if (membership_ != nullptr && !membership_->CheckCurrent().ok()) return;  // not any more
  // A start that was refused says nothing about the run that the folder holds.
  if (!prepared_ && options_.file_system->Exists(folder_->paths().result())) return;
  RunResult file = ResultSoFar();
  file.status = "failed";
  file.message = std::string(status.message());
  file.exit_code = ExitCodeOf(status);
  const absl::Status written = WriteResult(options_.file_system, folder_->paths().result(), file);
  if (!written.ok()) log_->Warning(absl::StrCat("result.json: ", written.message()));
}

}  // namespace lockstep::train
