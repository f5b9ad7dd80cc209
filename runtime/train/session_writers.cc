// What rank 0 of a Session writes, and how another rank takes that over.

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "runtime/train/agreement.h"
#include "runtime/train/checkpoint_folder.h"
#include "runtime/train/event_log.h"
#include "runtime/train/ledger.h"
#include "runtime/train/metrics_log.h"
#include "runtime/train/progress.h"
#include "runtime/train/session.h"
#include "runtime/train/terminal.h"

namespace lockstep::train {

absl::Status Session::OpenFolder() {
  if (communicator_->rank() != 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(folder_, RunFolder::Open(options_.file_system, options_.out, log_));
  return absl::OkStatus();
}

absl::Status Session::OpenObservers() {
  if (communicator_->rank() != 0) return absl::OkStatus();
  for (const std::string& line : BannerLines(FactsForBanner())) log_->Info(line);
  for (const std::string& line : BannerAdvice(FactsForBanner())) log_->Info(line);
  log_->Info(absl::StrCat(state_->layout().parameter_elements, " parameters, ", feed_->facts().records,
                          " training records, steps ", point_.counters.step + 1, " to ", plan_.stop, " of ",
                          plan_.horizon, ", results in ", options_.out));

  if (compressor_ != nullptr) {
    log_->Info(absl::StrCat("gradients travel by ", compressor_->Describe()));
  } else if (config_.compression().has_wire()) {
    log_->Info(absl::StrCat("gradients travel as ", Precision_Name(config_.compression().wire())));
  }
  if (options_.trace && trace_ == nullptr) {
    ASSIGN_OR_RETURN(trace_,
                     Trace::Open(options_.file_system, folder_->paths().trace(), communicator_->rank()));
  }
  const Told all = {point_.counters.step, point_.counters.step};
  return MakeAudience(all, all, point_.counters.step);
}

absl::Status Session::MakeAudience(Told metrics_hold, Told ledger_holds, int64_t events_from) {
  FileSystem* fs = options_.file_system;
  const RunPaths& paths = folder_->paths();
  const Told all = {point_.counters.step, point_.counters.step};
  audience_ = std::make_unique<Audience>(options_.faults);

  const Terminal terminal = FindTerminal(STDERR_FILENO, options_.world->launcher != "none");
  ProgressOptions progress;
  progress.total_steps = plan_.stop;
  progress.live = options_.terminal;
  progress.columns = terminal.columns;
  progress.steps_between = config_.execution().log_every_steps();
  auto line = MakeProgress(progress);
  logger_beside_ = MakeLoggerBeside(line.get(), options_.log);
  log_ = logger_beside_.get();
  audience_->Add(std::move(line), all);

  ASSIGN_OR_RETURN(auto metrics, OpenMetricsLog(fs, paths.metrics(), log_));
  audience_->Add(std::move(metrics), metrics_hold);
  if (options_.ledger) {
    ASSIGN_OR_RETURN(auto ledger, OpenLedger(fs, paths.ledger(), log_));
    audience_->Add(std::move(ledger), ledger_holds);
  }
  if (config_.execution().events()) {
    ASSIGN_OR_RETURN(auto events, OpenEventLog(fs, paths.events(), events_from, log_));
    audience_->Add(std::move(events), {events_from, events_from});
  }
  auto desk = std::make_unique<ControlDesk>();
  desk_ = desk.get();
  audience_->Add(std::move(desk), {});
  ServeControl();
  return absl::OkStatus();
}

// The rank that wrote may have died anywhere: between the lines of one step, in the middle of one, or of a
// checkpoint. Its lines are at most one step ahead of where the run goes on, since the next vote comes after
// them; lines that are there already stay, and what is done again has the same.
absl::Status Session::TakeWritersOver() {
  RETURN_IF_ERROR(membership_->CheckCurrent());
  (void)ReachFault(options_.faults, "takeover.begin");
  FileSystem* fs = options_.file_system;
  ASSIGN_OR_RETURN(folder_, RunFolder::TakeOver(fs, options_.out, log_));
  const RunPaths& paths = folder_->paths();
  const int64_t step = point_.counters.step;
  ASSIGN_OR_RETURN(const LastLines metrics, CutTail(fs, paths.metrics(), step + 1));
  ASSIGN_OR_RETURN(const LastLines ledger, CutTail(fs, paths.ledger(), step + 1));
  (void)ReachFault(options_.faults, "takeover.cut");
  if (options_.trace) {
    const std::string path = paths.trace_of(generation());
    log_->Info(absl::StrCat("the timeline of this generation goes to ", path));
    ASSIGN_OR_RETURN(trace_, Trace::Open(fs, path, communicator_->rank()));
  }
  RETURN_IF_ERROR(
      MakeAudience({metrics.step, metrics.eval}, {ledger.step, 0}, std::max<int64_t>(step - 1, 0)));
  // Only where the lines of a machine that died never got to the disk that all share.
  for (int64_t lost = std::min(metrics.step, ledger.step) + 1; lost < step && !point_.diverged; ++lost) {
    if (lost > metrics.step) {
      log_->Warning(absl::StrCat("metrics.jsonl: the line of step ", lost, " died with the rank that wrote"));
    }
  }
  return absl::OkStatus();
}

absl::Status Session::CarryWritersOn() {
  RETURN_IF_ERROR(OpenCheckpoints());
  if (!folder_) return absl::OkStatus();
  ShowMembers();
  desk_->SetPaused(point_.paused);
  const int64_t step = point_.counters.step;
  if (point_.last.step == step && step > 0) {
    std::vector<int64_t> ids;
    if (options_.ledger) feed_->RecordIds(step - 1, &ids);
    audience_->OnStep(point_.last, ids);
  }
  if (point_.eval.step == step && point_.eval_scheduled) audience_->OnEval(point_.eval);
  ReplaceLostCheckpoint();
  return absl::OkStatus();
}

void Session::ReplaceLostCheckpoint() {
  const int64_t lost = std::exchange(point_.lost_step, -1);
  if (lost < 0) return;
  ReplaceLostBest();
  if (lost >= point_.counters.step) return;  // of this step it is written again anyway
  const std::string folder = folder_->paths().checkpoints();
  if (options_.file_system->Exists(CheckpointPath(folder, lost))) return;
  log_->Warning(absl::StrCat("the checkpoint of step ", lost,
                             " died with the rank that wrote it; the next step gets one"));
  desk_->Ask({.checkpoint = true});
}

// Whether the checkpoint of `step` is there. It is marked as the best one then: who wrote it may have died
// between the two.
bool Session::MarkBest(int64_t step) {
  FileSystem* fs = options_.file_system;
  const std::string folder = folder_->paths().checkpoints();
  if (!fs->Exists(JoinPath(CheckpointPath(folder, step), kManifestName))) return false;
  const auto marked = ReadBest(fs, folder);
  if (marked.ok() && *marked == step) return true;
  const absl::Status written = WriteBest(fs, folder, step);
  if (!written.ok()) log_->Warning(absl::StrCat("the best checkpoint is not marked: ", written.message()));
  return true;
}

// The best one may have been on its way to the disk for some steps, with another waiting behind it.
void Session::ReplaceLostBest() {
  const int64_t step = point_.counters.best_step;
  const bool is_due = point_.new_best && point_.stage < Stage::kSaved;  // the loop writes it
  if (!config_.eval().keep_best() || step < 0 || is_due) return;
  if (MarkBest(step) || WriteKeptBest(step)) return;
  log_->Warning(absl::StrCat("the checkpoint of step ", step,
                             ", the best one, died with the ranks that held its state"));
}

void Session::CloseObservers() {
  checkpoints_.reset();
  control_.reset();
  if (audience_ != nullptr) audience_->OnEnd();
  desk_ = nullptr;
  log_ = options_.log;
  audience_.reset();
  logger_beside_.reset();
}

void Session::CloseWriters() {
  if (team_writes_ && checkpoints_ != nullptr) checkpoints_->Abandon();  // the team has parted
  CloseObservers();
  trace_.reset();
  folder_.reset();
}

void Session::ServeControl() {
  ControlLimits limits;
  limits.lanes = config_.lanes();
  limits.steps = plan_.stop;
  limits.membership = membership_ != nullptr;
  limits.grow = options_.grow;
  control_ = ControlServer::Start(folder_->paths().control(), desk_, std::move(limits), log_);
  ShowMembers();
}

void Session::ShowMembers() {
  std::string text = absl::StrCat(communicator_->size(), communicator_->size() == 1 ? " rank" : " ranks",
                                  " as generation ", generation(), " since ",
                                  absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::Now(), absl::LocalTimeZone()));
  if (membership_ != nullptr) {
    for (size_t rank = 0; rank < membership_->members().size(); ++rank) {
      absl::StrAppend(&text, "\nrank ", rank, ": process ", membership_->members()[rank].pid);
    }
  }
  if (desk_ != nullptr) desk_->SetMembers(text, communicator_->size());
}

Manifest Session::ManifestTemplate() const {
  Manifest manifest;
  manifest.seed = config_.seed();
  manifest.dataset_fingerprint = feed_->facts().fingerprint;
  manifest.validation_fingerprint = feed_->facts().eval_fingerprint;
  manifest.data_files = feed_->facts().files;
  manifest.recipe_sha256 = recipe_hash_;
  manifest.recipe_text = recipe_text_;
  manifest.probe_sha256 = probe_hash_;
  manifest.world_size = communicator_->size();
  manifest.generation = generation();
  manifest.build_id = options_.build_id;
  return manifest;
}

}  // namespace lockstep::train
