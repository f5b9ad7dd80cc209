// The rest of Session: resuming, observing, training, and how a run ends.

#include <signal.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "comm/bootstrap.h"
#include "runtime/core/clock.h"
#include "runtime/train/agreement.h"
#include "runtime/train/checkpoint_folder.h"
#include "runtime/train/compression/compression_state.h"
#include "runtime/train/config.h"
#include "runtime/train/event_log.h"
#include "runtime/train/ledger.h"
#include "runtime/train/metrics_log.h"
#include "runtime/train/progress.h"
#include "runtime/train/recipe_diff.h"
#include "runtime/train/session.h"
#include "runtime/train/terminal.h"

namespace lockstep::train {
namespace {

// What rank 0 tells the others of the checkpoint that it loaded.
std::string Pack(const RunCounters& counters, double loss, const StateHashes& hashes) {
  return absl::StrCat(absl::StrJoin({counters.step, counters.skipped_steps, counters.best_step}, " "), " ",
                      absl::StrFormat("%a %a", counters.best_metric, loss), " ", hashes.weights_sha256, " ",
                      hashes.state_sha256);
}

bool Unpack(const std::string& text, RunCounters* counters, double* loss, StateHashes* hashes) {
  const std::vector<std::string> words = absl::StrSplit(text, ' ');
  if (words.size() != 7) return false;
  counters->best_metric = std::strtod(words[3].c_str(), nullptr);
  *loss = std::strtod(words[4].c_str(), nullptr);
  *hashes = {words[5], words[6]};
  return absl::SimpleAtoi(words[0], &counters->step) &&
         absl::SimpleAtoi(words[1], &counters->skipped_steps) &&
         absl::SimpleAtoi(words[2], &counters->best_step);
}

}  // namespace

absl::StatusOr<std::optional<LoadedCheckpoint>> Session::ChooseCheckpoint() const {
  FileSystem* fs = options_.file_system;
  if (options_.resume == ResumeMode::kNever) {
    ASSIGN_OR_RETURN(const auto steps, ListCheckpoints(fs, folder_->paths().checkpoints()));
    if (steps.empty()) return std::nullopt;
    return ConfigError(absl::StrCat("--resume never: ", options_.out,
                                    " holds checkpoints, the newest of step ", steps.back(),
                                    "; choose another --out, or --resume auto to go on"));
  }
  const bool named = options_.resume == ResumeMode::kPath;
  ASSIGN_OR_RETURN(FoundCheckpoint found,
                   named ? ResolveCheckpoint(fs, options_.resume_path) : FindCheckpoint(fs, options_.out));
  for (const RejectedCheckpoint& rejected : found.rejected) {
    log_->Warning(absl::StrCat("passing over ", rejected.path, ": ", rejected.reason));
  }
  if (named && !found.checkpoint) {
    return CheckpointError(absl::StrCat("--resume ", options_.resume_path, ": no complete checkpoint there"));
  }
  return std::move(found.checkpoint);
}

absl::Status Session::CheckLineage(const Manifest& manifest) const {
  std::vector<std::string> differences;
  if (manifest.recipe_sha256 != recipe_hash_) {
    differences = RecipeDiff(FlattenText(manifest.recipe_text), FlattenText(recipe_text_));
    if (differences.empty()) differences.push_back("the recipe's text (written by another version)");
  }
  if (manifest.dataset_fingerprint != feed_->facts().fingerprint) {
    differences.push_back(absl::StrCat("the training data: ", manifest.dataset_fingerprint, " -> ",
                                       feed_->facts().fingerprint));
  }
  if (manifest.validation_fingerprint != feed_->facts().eval_fingerprint) {
    const auto shown = [](const std::string& text) { return text.empty() ? "(none)" : text; };
    differences.push_back(absl::StrCat("the validation data: ", shown(manifest.validation_fingerprint),
                                       " -> ", shown(feed_->facts().eval_fingerprint)));
  }
  if (differences.empty() && manifest.probe_sha256 != probe_hash_) {
    differences.push_back(
        absl::StrCat("the bits of one lane step (processor, instruction set or library): probe ",
                     manifest.probe_sha256.substr(0, 12), " -> ", probe_hash_.substr(0, 12), ", build ",
                     manifest.build_id, " -> ", options_.build_id));
  }
  if (differences.empty()) return absl::OkStatus();
  const std::string list = absl::StrJoin(differences, "\n  ");
  if (options_.fork) {
    log_->Warning(
        absl::StrCat("--fork: a new lineage from step ", manifest.step, "; what differs:\n  ", list));
    return absl::OkStatus();
  }
  return CheckpointError(
      absl::StrCat("the checkpoint of step ", manifest.step, " is of another run; what differs:\n  ", list,
                   "\nUndo that, choose another --out, or say --fork to go on as a new lineage"));
}

absl::Status Session::Resume() {
  absl::Status status;
  std::optional<LoadedCheckpoint> checkpoint;  // on rank 0
  if (communicator_->rank() == 0) {
    status = [&]() -> absl::Status {
      ASSIGN_OR_RETURN(checkpoint, ChooseCheckpoint());
      if (checkpoint) {
        const Manifest& manifest = checkpoint->manifest();
        RETURN_IF_ERROR(CheckLineage(manifest));
        RETURN_IF_ERROR(state_->Load(*checkpoint));
        counters_ = RunCounters::FromManifest(manifest);
        earlier_seconds_ = manifest.train_seconds;
        hashes_ = {manifest.weights_sha256, manifest.state_sha256};
        const auto loss = manifest.metrics.find("loss");
        if (loss != manifest.metrics.end()) last_loss_ = loss->second;
        log_->Info(absl::StrCat("resuming after step ", counters_.step, " from ", checkpoint->path()));
      } else if (!config_.init_from().empty()) {
        ASSIGN_OR_RETURN(const std::string path,
                         LocateConfigPath(config_.init_from(), options_.config_path, options_.file_system));
        std::string summary;
        RETURN_IF_ERROR(state_->InitializeFrom(options_.file_system, path, &summary));
        log_->Info(summary);
      }
      RETURN_IF_ERROR(folder_->CutBack(counters_.step, log_));
      return folder_->WriteConfig(ConfigText(config_));
    }();
  }
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, status));
  ASSIGN_OR_RETURN(const std::string packed,
                   BroadcastText(*communicator_, Pack(counters_, last_loss_, hashes_)));
  if (!Unpack(packed, &counters_, &last_loss_, &hashes_))
    return absl::InternalError("rank 0 sent no counters");
  if (counters_.step > plan_.stop) {
    return ConfigError(
        absl::StrCat("--steps ", plan_.stop, ": this run is at step ", counters_.step,
                     " already; choose another --out, or --resume the checkpoint of an earlier step"));
  }
  RETURN_IF_ERROR(BroadcastTensors(*communicator_, state_->Buffers()));
  if (compressor_ != nullptr) {
    RETURN_IF_ERROR(
        RestoreCompressionState(*communicator_, checkpoint ? &*checkpoint : nullptr, *compressor_, log_));
  }
  checkpoint.reset();

  FeedOptions feed;
  feed.threads = team_->size();
  feed.read_ahead_steps = config_.execution().read_ahead_steps();
  feed.owned = replica_->owned();
  std::vector<std::string> inputs;
  for (const graph::Input& input : train_program_->inputs()) inputs.push_back(input.name);
  return AgreeOnStatus(*communicator_, feed_->Start(feed, inputs, counters_.step));
}

absl::Status Session::OpenObservers() {
  if (communicator_->rank() != 0) return absl::OkStatus();
  FileSystem* fs = options_.file_system;
  const RunPaths& paths = folder_->paths();
  for (const std::string& line : BannerLines(FactsForBanner())) log_->Info(line);
  for (const std::string& line : BannerAdvice(FactsForBanner())) log_->Info(line);
  log_->Info(absl::StrCat(state_->layout().parameter_elements, " parameters, ", feed_->facts().records,
                          " training records, steps ", counters_.step + 1, " to ", plan_.stop, " of ",
                          plan_.horizon, ", results in ", options_.out));

  if (compressor_ != nullptr) {
    log_->Info(absl::StrCat("gradients travel by ", compressor_->Describe()));
  } else if (config_.compression().has_wire()) {
    log_->Info(absl::StrCat("gradients travel as ", Precision_Name(config_.compression().wire())));
  }

  const Terminal terminal = FindTerminal(STDERR_FILENO, options_.world->launcher != "none");
  ProgressOptions progress;
  progress.total_steps = plan_.stop;
  progress.live = options_.terminal;
  progress.columns = terminal.columns;
  progress.steps_between = config_.execution().log_every_steps();
  observers_.push_back(MakeProgress(progress));
  logger_beside_ = MakeLoggerBeside(observers_.front().get(), options_.log);
  log_ = logger_beside_.get();

  ASSIGN_OR_RETURN(auto metrics, OpenMetricsLog(fs, paths.metrics(), log_));
  observers_.push_back(std::move(metrics));
  if (options_.ledger) {
    ASSIGN_OR_RETURN(auto ledger, OpenLedger(fs, paths.ledger(), log_));
    observers_.push_back(std::move(ledger));
  }
  if (config_.execution().events()) {
    ASSIGN_OR_RETURN(auto events, OpenEventLog(fs, paths.events(), counters_.step, log_));
    observers_.push_back(std::move(events));
  }
  if (options_.trace) {
    ASSIGN_OR_RETURN(trace_, Trace::Open(fs, paths.trace(), communicator_->rank()));
  }
  CheckpointWriterOptions writer;
  writer.fs = fs;
  writer.folder = paths.checkpoints();
  writer.keep_last = config_.execution().checkpoint().keep_last();
  writer.on_done = [this](const SaveOutcome& outcome) {
    if (!outcome.status.ok()) {
      log_->Error(absl::StrCat("checkpoint of step ", outcome.step, " not saved: ", outcome.status.message(),
                               "; training goes on, older checkpoints are whole"));
    } else if (!outcome.after_commit.ok()) {
      log_->Warning(
          absl::StrCat("after the checkpoint of step ", outcome.step, ": ", outcome.after_commit.message()));
    }
  };
  writer.before_commit = [this](int64_t) {
    absl::Status status;
    for (const auto& observer : observers_) status.Update(observer->Sync());
    return status;
  };
  checkpoints_ = std::make_unique<CheckpointWriter>(std::move(writer));
  return absl::OkStatus();
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
  parts.checkpoints = checkpoints_.get();
  parts.trace = trace_.get();
  parts.log = log_;
  for (const auto& observer : observers_) parts.observers.push_back(observer.get());
  parts.ledger = options_.ledger;
  parts.stop_signal = options_.stop_signal;
  parts.faults = options_.faults;
  parts.manifest = ManifestTemplate();
  return parts;
}

absl::StatusOr<TrainResult> Session::Train() {
  TrainLoop loop(PartsForLoop(), plan_, &counters_);
  absl::StatusOr<LoopResult> ended = loop.Run();
  for (const auto& observer : observers_) observer->OnEnd();
  RETURN_IF_ERROR(ended.status());
  if (ended->steps_here == 0) ended->loss = last_loss_;
  return Finish(*ended);
}

absl::StatusOr<TrainResult> Session::Finish(const LoopResult& loop) {
  absl::Status saved;
  if (checkpoints_ != nullptr) {
    const SaveOutcome outcome = checkpoints_->Wait();
    if (outcome.step >= 0) {
      hashes_ = outcome.hashes;
      saved = Annotate(outcome.status, absl::StrCat("the last checkpoint, of step ", outcome.step));
      if (!saved.ok()) saved = CheckpointError(saved.message());
    }
  }
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, saved));
  ASSIGN_OR_RETURN(
      const std::string hashes,
      BroadcastText(*communicator_, absl::StrCat(hashes_.weights_sha256, " ", hashes_.state_sha256)));
  const std::vector<std::string> both = absl::StrSplit(hashes, ' ');
  hashes_ = {both[0], both[1]};
  // Every replica must have arrived at the same bits; a rank that did not is named before anyone believes the
  // result.
  const StateHashes own = HashState(state_->Tensors(), counters_.step,
                                    counters_.step * config_.global_batch(), counters_.ToManifest());
  RETURN_IF_ERROR(comm::CheckAgreement(*communicator_, {{"weights_sha256", own.weights_sha256}}));
  if (own.weights_sha256 != hashes_.weights_sha256) {
    return absl::InternalError("the weights in memory are not those of the last checkpoint");
  }

  TrainResult result;
  result.status = loop.signal != 0 ? "interrupted" : "done";
  result.signal = loop.signal;
  result.steps = counters_.step;
  result.loss = loop.loss;
  result.eval.insert(loop.eval.begin(), loop.eval.end());
  result.weights_sha256 = hashes_.weights_sha256;
  result.state_sha256 = hashes_.state_sha256;
  if (communicator_->rank() != 0) return result;

  RunResult file = ResultSoFar();
  file.status = result.status;
  if (loop.signal != 0) {  // of the process, too (docs/DESIGN.md, section 7): SIGUSR1 is no failure
    file.message = absl::StrCat("signal ", loop.signal);
    file.exit_code = loop.signal == SIGUSR1 ? 0 : 128 + loop.signal;
  }
  file.loss = result.loss;
  file.eval = loop.eval;
  file.seconds += loop.train_seconds;
  const double samples_here = static_cast<double>(loop.steps_here * config_.global_batch());
  file.samples_per_second = loop.train_seconds > 0 ? samples_here / loop.train_seconds : 0;
  RETURN_IF_ERROR(WriteResult(options_.file_system, folder_->paths().result(), file));
  log_->Info(absl::StrCat(result.status, " after step ", result.steps, " of ", plan_.horizon, ": loss ",
                          result.loss, loop.eval.empty() ? "" : ", validation ",
                          absl::StrJoin(loop.eval, ", ",
                                        [](std::string* out, const auto& entry) {
                                          absl::StrAppend(out, entry.first, " ", entry.second);
                                        }),
                          ", weights ", result.weights_sha256.substr(0, 16)));
  return result;
}

RunResult Session::ResultSoFar() const {
  RunResult file;
  file.steps = counters_.step;
  file.skipped_steps = counters_.skipped_steps;
  file.weights_sha256 = hashes_.weights_sha256;
  file.state_sha256 = hashes_.state_sha256;
  file.samples = counters_.step * config_.global_batch();
  file.seconds = earlier_seconds_;
  file.world_size = communicator_->size();
  return file;
}

void Session::ReportFailure(const absl::Status& status) {
  if (!folder_) return;  // another rank writes, or the folder is not ours
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
