// How a Session goes on from a checkpoint.

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "comm/bootstrap.h"
#include "runtime/core/clock.h"
#include "runtime/train/agreement.h"
#include "runtime/train/checkpoint_folder.h"
#include "runtime/train/compression/compression_state.h"
#include "runtime/train/config.h"
#include "runtime/train/data_diff.h"
#include "runtime/train/recipe_diff.h"
#include "runtime/train/session.h"

namespace lockstep::train {

absl::StatusOr<std::optional<LoadedCheckpoint>> Session::ChooseCheckpoint() const {
  FileSystem* fs = options_.file_system;
  if (!going_back_ && options_.resume == ResumeMode::kNever) {
    ASSIGN_OR_RETURN(const auto steps, ListCheckpoints(fs, folder_->paths().checkpoints()));
    if (steps.empty()) return std::nullopt;
    return ConfigError(absl::StrCat("--resume never: ", options_.out,
                                    " holds checkpoints, the newest of step ", steps.back(),
                                    "; choose another --out, or --resume auto to go on"));
  }
  const bool named = !going_back_ && options_.resume == ResumeMode::kPath;
  ASSIGN_OR_RETURN(FoundCheckpoint found, going_back_ ? FindAgreedCheckpoint()
                                          : named     ? ResolveCheckpoint(fs, options_.resume_path)
                                                      : FindCheckpoint(fs, options_.out));
  for (const RejectedCheckpoint& rejected : found.rejected) {
    log_->Warning(absl::StrCat("passing over ", rejected.path, ": ", rejected.reason));
  }
  if (named && !found.checkpoint) {
    return CheckpointError(absl::StrCat("--resume ", options_.resume_path, ": no complete checkpoint there"));
  }
  return std::move(found.checkpoint);
}

void Session::DiffData(const Manifest& manifest, bool validation,
                       std::vector<std::string>* differences) const {
  const DataFacts& facts = feed_->facts();
  const std::string& before = validation ? manifest.validation_fingerprint : manifest.dataset_fingerprint;
  const std::string& after = validation ? facts.eval_fingerprint : facts.fingerprint;
  if (before == after) return;
  const auto shown = [](const std::string& text) { return text.empty() ? "(none)" : text; };
  differences->push_back(absl::StrCat("the ", validation ? "validation" : "training",
                                      " data: ", shown(before), " -> ", shown(after)));
  if (manifest.data_files.empty() || facts.files.empty()) return;
  for (const std::string& line : DataDiff(manifest.data_files, facts.files, validation))
    differences->push_back(absl::StrCat("  ", line));
  // Tokens, columns and plans have a part in the fingerprint, too.
  if (absl::StartsWith(differences->back(), "the "))
    differences->push_back("  every file is as it was; what is made of the records is not (tokenizer?)");
}

absl::Status Session::CheckLineage(const Manifest& manifest) const {
  std::vector<std::string> differences;
  if (manifest.recipe_sha256 != recipe_hash_) {
    differences = RecipeDiff(FlattenText(manifest.recipe_text), FlattenText(recipe_text_));
    if (differences.empty()) differences.push_back("the recipe's text (written by another version)");
  }
  DiffData(manifest, /*validation=*/false, &differences);
  DiffData(manifest, /*validation=*/true, &differences);
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
  const double last_save = point_.last_save > 0 ? point_.last_save : MonotonicSeconds();
  const double seconds = point_.seconds, seconds_here = point_.seconds_here;
  const int64_t steps_here = point_.steps_here;
  absl::Status status;
  std::optional<LoadedCheckpoint> checkpoint;  // on rank 0
  if (communicator_->rank() == 0) {
    status = [&]() -> absl::Status {
      ASSIGN_OR_RETURN(checkpoint, ChooseCheckpoint());
      if (checkpoint) {
        const Manifest& manifest = checkpoint->manifest();
        RETURN_IF_ERROR(CheckLineage(manifest));
        RETURN_IF_ERROR(state_->Load(*checkpoint));
        point_.counters = RunCounters::FromManifest(manifest);
        point_.seconds = manifest.train_seconds;
        hashes_ = {manifest.weights_sha256, manifest.state_sha256};
        const auto loss = manifest.metrics.find("loss");
        if (loss != manifest.metrics.end()) point_.loss = loss->second;
        if (!going_back_) {
          point_.began_at = point_.counters.step;
          point_.began_from = checkpoint->path();
        }
        log_->Info(absl::StrCat("resuming after step ", point_.counters.step, " from ", checkpoint->path()));
      } else if (!config_.init_from().empty()) {
        ASSIGN_OR_RETURN(const std::string path,
                         LocateConfigPath(config_.init_from(), options_.config_path, options_.file_system));
        std::string summary;
        RETURN_IF_ERROR(state_->InitializeFrom(options_.file_system, path, &summary));
        log_->Info(summary);
      }
      RETURN_IF_ERROR(folder_->CutBack(point_.counters.step, log_));
      const int64_t best = point_.counters.best_step;
      if (config_.eval().keep_best() && best >= 0) (void)MarkBest(best);
      return folder_->WriteConfig(ConfigText(config_));
    }();
  }
  RETURN_IF_ERROR(AgreeOnStatus(*communicator_, status));
  if (point_.counters.step > 0) point_.saved_step = point_.counters.step;
  ASSIGN_OR_RETURN(const std::string point, BroadcastText(*communicator_, PackPoint(point_)));
  if (!UnpackPoint(point, &point_)) return absl::InternalError("rank 0 sent no counters");
  if (going_back_) point_.seconds = seconds;
  point_.seconds_here = seconds_here;
  point_.steps_here = steps_here;
  point_.last_save = last_save;
  ASSIGN_OR_RETURN(
      const std::string hashes,
      BroadcastText(*communicator_, absl::StrCat(hashes_.weights_sha256, " ", hashes_.state_sha256)));
  const std::pair<std::string, std::string> both = absl::StrSplit(hashes, ' ');
  hashes_ = {both.first, both.second};
  if (point_.counters.step > plan_.stop) {
    return ConfigError(
        absl::StrCat("--steps ", plan_.stop, ": this run is at step ", point_.counters.step,
                     " already; choose another --out, or --resume the checkpoint of an earlier step"));
  }
  RETURN_IF_ERROR(BroadcastTensors(*communicator_, state_->Buffers()));
  if (compressor_ != nullptr) {
    RETURN_IF_ERROR(
        RestoreCompressionState(*communicator_, checkpoint ? &*checkpoint : nullptr, *compressor_, log_));
  }
  // As if this process had done it all up to here.
  point_.stage = Stage::kSaved;
  return absl::OkStatus();
}

}  // namespace lockstep::train
