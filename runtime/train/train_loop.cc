#include "runtime/train/train_loop.h"

#include <signal.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "runtime/core/clock.h"
#include "runtime/core/rng.h"
#include "runtime/train/busy.h"
#include "runtime/train/compression/compression_state.h"
#include "runtime/train/kept_best.h"
#include "runtime/train/run_point.h"
#include "runtime/train/schedule.h"

namespace lockstep::train {
namespace {

constexpr absl::Duration kPausePoll = absl::Milliseconds(100);
constexpr double kSuspiciousSeconds = 0.5;

int64_t Integer(const Counters& counters, const char* name, int64_t otherwise) {
  const auto found = counters.find(name);
  return found != counters.end() && std::holds_alternative<int64_t>(found->second)
             ? std::get<int64_t>(found->second)
             : otherwise;
}

// Whether a validation value is better: accuracy grows, losses fall.
bool Better(const std::string& metric, double value, double best) {
  return metric == "accuracy" ? value > best : value < best;
}

}  // namespace

Counters RunCounters::ToManifest() const {
  Counters counters = {
      {"skipped_steps", skipped_steps}, {"best_step", best_step}, {"best_metric", best_metric}};
  if (damaged_records > 0) counters["damaged_records"] = damaged_records;
  guard.AddTo(&counters);
  return counters;
}

RunCounters RunCounters::FromManifest(const Manifest& manifest) {
  RunCounters counters;
  counters.step = manifest.step;
  counters.skipped_steps = Integer(manifest.counters, "skipped_steps", 0);
  counters.damaged_records = Integer(manifest.counters, "damaged_records", 0);
  counters.best_step = Integer(manifest.counters, "best_step", -1);
  const auto best = manifest.counters.find("best_metric");
  if (best != manifest.counters.end() && std::holds_alternative<double>(best->second)) {
    counters.best_metric = std::get<double>(best->second);
  }
  counters.guard = GuardState::FromCounters(manifest.counters);
  return counters;
}

TrainLoop::TrainLoop(LoopParts parts, LoopPlan plan, RunPoint* point)
    : parts_(std::move(parts)),
      plan_(plan),
      point_(point),
      counters_(&point->counters),
      dropout_key_(DeriveKey(parts_.config->seed(), "dropout")) {}

absl::StatusOr<LoopEnd> TrainLoop::Run() {
  begin_ = MonotonicSeconds();
  absl::StatusOr<LoopEnd> end = RunSteps();
  const double seconds = MonotonicSeconds() - begin_;
  point_->seconds += seconds;
  point_->seconds_here += seconds;
  return end;
}

absl::StatusOr<LoopEnd> TrainLoop::RunSteps() {
  while (true) {
    if (!point_->diverged) RETURN_IF_ERROR(FinishStep());
    if (point_->diverged) return LoopEnd::kDiverged;
    if (counters_->step >= plan_.stop || point_->signal != 0) break;
    if (ChangeIsDue()) return LoopEnd::kChange;
    if (point_->paused) {
      RETURN_IF_ERROR(Pause());
    } else {
      RETURN_IF_ERROR(Step());
    }
  }
  // A stop that the schedule of validations does not name is looked at, but leaves no trace in the run's
  // state.
  const bool looks = point_->signal == 0 && parts_.evaluator != nullptr && point_->stage < Stage::kLooked;
  if (looks && point_->eval.step != counters_->step) RETURN_IF_ERROR(Evaluate(/*scheduled=*/false));
  if (point_->saved_step != counters_->step) RETURN_IF_ERROR(SaveCheckpoint(point_->new_best));
  if (point_->diverged) return LoopEnd::kDiverged;
  point_->stage = Stage::kLooked;
  return LoopEnd::kDone;
}

absl::Status TrainLoop::FinishStep() {
  if (point_->stage < Stage::kCompared) {
    if (parts_.integrity != nullptr && parts_.integrity->Due(counters_->step))
      RETURN_IF_ERROR(CompareStates());
    if (point_->diverged) return absl::OkStatus();
    point_->stage = Stage::kCompared;
  }
  if (point_->stage < Stage::kEvaluated) {
    if (EvaluationDue()) RETURN_IF_ERROR(Evaluate(/*scheduled=*/true));
    point_->stage = Stage::kEvaluated;
  }
  if (point_->stage < Stage::kSaved) {
    if (CheckpointDueBySteps() || point_->checkpoint_due || point_->new_best) {
      RETURN_IF_ERROR(SaveCheckpoint(point_->new_best));
    }
    if (point_->diverged) return absl::OkStatus();
    point_->stage = Stage::kSaved;
  }
  return absl::OkStatus();
}

Ballot TrainLoop::NewBallot() {
  Ballot ballot;
  ballot.signal = parts_.stop_signal != nullptr ? parts_.stop_signal->load() : 0;
  ballot.checkpoint_due = CheckpointDueByTime();
  // Rank 0 makes the record of the next generation, as a rule, and lets in those whom it knows of.
  ballot.newcomers =
      parts_.membership != nullptr && parts_.communicator->rank() == 0 && parts_.membership->Newcomers() > 0;
  if (parts_.desk == nullptr) return ballot;
  const Wishes wishes = parts_.desk->Take();
  if (wishes.stop && ballot.signal == 0) ballot.signal = SIGUSR1;  // "checkpoint and leave"
  ballot.checkpoint_due |= wishes.checkpoint;
  ballot.size = wishes.size;
  ballot.pause = wishes.pause;
  return ballot;
}

void TrainLoop::Decide(const Verdict& verdict) {
  point_->signal = verdict.signal;
  point_->checkpoint_due = verdict.checkpoint_due;
  point_->admit = verdict.newcomers;
  point_->size = verdict.size;
  if (verdict.pause != PauseWish::kNone) point_->paused = verdict.pause == PauseWish::kPause;
  if (parts_.desk == nullptr) return;
  parts_.desk->SetPaused(point_->paused);
  parts_.desk->Heard();
}

bool TrainLoop::ChangeIsDue() const {
  if (parts_.membership == nullptr) return false;
  return point_->admit || (point_->size > 0 && point_->size < parts_.communicator->size());
}

// Stands still, one small vote after another, so that ranks hear of each other's deaths and of what is asked.
absl::Status TrainLoop::Pause() {
  absl::SleepFor(kPausePoll);
  parts_.communicator->NoteProgress();
  ASSIGN_OR_RETURN(const Verdict verdict,
                   Vote(*parts_.communicator, /*lanes=*/0, /*metrics=*/0, NewBallot()));
  Decide(verdict);
  if (point_->checkpoint_due) RETURN_IF_ERROR(SaveCheckpoint(/*best=*/false));
  point_->checkpoint_due = false;
  return absl::OkStatus();
}

absl::Status TrainLoop::Step() {
  const double begin = MonotonicSeconds();
  const int64_t step = counters_->step;
  if (parts_.faults != nullptr) parts_.faults->SetStep(step + 1);
  if (parts_.marks != nullptr) parts_.marks->SetStep(step + 1);
  RETURN_IF_ERROR(ReachFault(parts_.faults, "step.begin"));
  TraceSpan whole(parts_.trace, "step", step + 1);
  Verdict verdict;
  StepMetrics metrics;
  double norm = 0;
  ASSIGN_OR_RETURN(const Replica::Gradient gradient, ReduceAndVote(&verdict, &norm, &metrics.comm_seconds));
  RETURN_IF_ERROR(NoteDamage(verdict, &metrics));
  const double vote_end = MonotonicSeconds();
  RETURN_IF_ERROR(ReachFault(parts_.faults, "step.after_vote"));

  // From here to the end nothing waits for a peer, but where the guard ends the run: the step is committed
  // whole.
  metrics.loss = verdict.sums.loss.sum / verdict.sums.loss.weight;
  RETURN_IF_ERROR(Commit(gradient, verdict, norm, &metrics));
  if (point_->diverged) return absl::OkStatus();
  point_->stage = Stage::kCommitted;
  point_->loss = metrics.loss;
  point_->new_best = false;
  ++point_->steps_here;
  Decide(verdict);

  // What a death costs from here on is a line without times.
  const int64_t batch = parts_.config->global_batch();
  metrics.step = counters_->step;
  metrics.epoch =
      static_cast<double>(counters_->step * batch) / static_cast<double>(parts_.feed->facts().epoch);
  metrics.data_wait_seconds = parts_.feed->TakeWaitSeconds();
  metrics.world_size = parts_.communicator->size();
  metrics.generation = parts_.generation;
  const auto take_time = [&] {
    metrics.step_seconds = MonotonicSeconds() - begin;
    metrics.samples_per_second = static_cast<double>(batch) / metrics.step_seconds;
    point_->last = metrics;
  };
  take_time();
  if (parts_.shards != nullptr) RETURN_IF_ERROR(CompleteParameters(&metrics.comm_seconds));
  FlipForTests("update.parameters", parts_.state->parameters());
  if (parts_.state->moments() > 0) FlipForTests("update.moments", parts_.state->moment(0));
  take_time();
  (void)ReachFault(parts_.faults, "step.committed");
  return TellStep(metrics, vote_end);
}

absl::Status TrainLoop::TellStep(const StepMetrics& metrics, double vote_end) {
  // A rank that stood still since the vote may have been voted out; its successor writes these lines.
  if (parts_.membership != nullptr && MonotonicSeconds() - vote_end > kSuspiciousSeconds) {
    RETURN_IF_ERROR(parts_.membership->CheckCurrent());
  }
  const Busy::Scope writing(parts_.busy);
  ids_.clear();
  if (parts_.ledger && !parts_.observers.empty()) parts_.feed->RecordIds(metrics.step - 1, &ids_);
  for (Observer* observer : parts_.observers) observer->OnStep(metrics, ids_);
  return absl::OkStatus();
}

absl::StatusOr<Replica::Gradient> TrainLoop::ReduceAndVote(Verdict* verdict, double* norm,
                                                           double* comm_seconds) {
  constexpr int kMostTries = 3;
  const int64_t step = counters_->step;
  for (int tries = 1;; ++tries) {
    Replica::Gradient gradient;
    {
      TraceSpan span(parts_.trace, "lanes", step + 1);
      ASSIGN_OR_RETURN(gradient, parts_.replica->Step(*parts_.state, dropout_key_, FetchForStep()));
    }
    FlipForTests("reduce.result", {gradient.values, parts_.state->layout().total_elements});
    const absl::Span<const double> sums = parts_.optimizer->SumSquares(*parts_.team, gradient.values);
    RETURN_IF_ERROR(ReachFault(parts_.faults, "step.before_vote"));
    Ballot ballot = NewBallot();
    if (parts_.shards != nullptr) ballot.norm_sums = sums;
    ballot.lanes = gradient.lanes;
    ballot.checksum = parts_.optimizer->checksum();
    ballot.damaged = static_cast<int64_t>(parts_.feed->DamageOf(step).size());
    const double vote_begin = MonotonicSeconds();
    auto voted = Vote(*parts_.communicator, parts_.config->lanes(),
                      static_cast<int>(parts_.replica->program().metric_names().size()), ballot);
    if (!voted.ok() && parts_.shards != nullptr) {  // another rank may have heard of its success
      parts_.shards->Keep(step + 1, gradient.values, gradient.state_deltas, parts_.state->states().size());
    }
    RETURN_IF_ERROR(voted.status());
    *verdict = *std::move(voted);
    *norm = parts_.optimizer->NormOf(parts_.shards != nullptr ? verdict->norm_sums : sums, /*scale=*/1);
    *comm_seconds += gradient.comm_seconds + MonotonicSeconds() - vote_begin;
    if (parts_.integrity == nullptr ||
        parts_.integrity->ReductionsAgree(step + 1, verdict->checksums, parts_.log))
      return gradient;
    if (tries == kMostTries) {
      return parts_.integrity->GiveUp(
          absl::StrCat("step ", step + 1, ": ", tries,
                       " times in a row the ranks held different sums of the gradients; memory, "
                       "processor or network of one of them fails"));
    }
  }
}

absl::Status TrainLoop::Commit(const Replica::Gradient& gradient, const Verdict& verdict, double norm,
                               StepMetrics* metrics) {
  TraceSpan span(parts_.trace, "update", counters_->step + 1);
  const double scale = 1.0 / verdict.sums.loss.weight;
  metrics->grad_norm = norm * scale;
  metrics->lr =
      parts_.optimizer->base_lr() * ScheduleFactor(parts_.config->schedule(), counters_->step, plan_.horizon);
  GuardState guard = counters_->guard;
  const GuardDecision decision = Judge(parts_.config->numerics(), metrics->loss, metrics->grad_norm, &guard);
  if (!decision.reason.empty()) RETURN_IF_ERROR(ActOn(decision, verdict, metrics));
  if (point_->diverged) return absl::OkStatus();
  point_->updated = decision.action == GuardDecision::Action::kApply;
  if (point_->updated) {
    (void)ReachFault(parts_.faults, "step.update");
    point_->update = {scale * parts_.optimizer->ClipFactor(metrics->grad_norm), metrics->lr,
                      counters_->step - counters_->skipped_steps};
    if (parts_.shards != nullptr) {
      UpdateShards(gradient, point_->update);
    } else {
      parts_.optimizer->Update(*parts_.team, gradient.values, point_->update, *parts_.state);
    }
    (void)ReachFault(parts_.faults, "step.mid_update");
    parts_.state->AddStateDeltas(gradient.state_deltas, parts_.config->lanes() * parts_.config->accumulate());
  } else {
    ++counters_->skipped_steps;
  }
  counters_->guard = guard;
  counters_->damaged_records += verdict.damaged;
  ++counters_->step;
  if (parts_.integrity != nullptr) parts_.integrity->Witness(counters_->step, verdict.lane_losses);
  return absl::OkStatus();
}

FetchBatch TrainLoop::FetchForStep() {
  return [this, step = counters_->step](int lane, int micro, int thread, LaneBatch* out) -> absl::Status {
    RETURN_IF_ERROR(ReachFault(parts_.faults, "step.fetch"));
    return parts_.feed->Fetch(step, lane, micro, thread, out);
  };
}

bool TrainLoop::EvaluationDue() const {
  if (parts_.evaluator == nullptr) return false;
  const EvalConfig& eval = parts_.config->eval();
  const int64_t step = counters_->step;
  if (step == plan_.horizon) return true;
  if (eval.every_steps() > 0 && step % eval.every_steps() == 0) return true;
  if (eval.every_epochs() <= 0) return false;
  // Due when this step crosses a multiple of every_epochs.
  const double period = eval.every_epochs() * static_cast<double>(parts_.feed->facts().epoch);
  const double batch = static_cast<double>(parts_.config->global_batch());
  return std::floor(static_cast<double>(step) * batch / period) >
         std::floor(static_cast<double>(step - 1) * batch / period);
}

absl::Status TrainLoop::Evaluate(bool scheduled) {
  RETURN_IF_ERROR(ReachFault(parts_.faults, "evaluate.begin"));
  TraceSpan span(parts_.trace, "evaluate", counters_->step);
  ASSIGN_OR_RETURN(const graph::LaneResult sums, parts_.evaluator->Run(*parts_.state, *parts_.feed));
  const EvalConfig& config = parts_.config->eval();
  point_->eval = {counters_->step, MeansOf(sums, parts_.evaluator->program().metric_names(),
                                           parts_.feed->facts().eval_bytes_per_target)};
  RETURN_IF_ERROR(NoteEvalDamage());
  point_->eval_scheduled = scheduled;
  if (!scheduled) return absl::OkStatus();
  for (Observer* observer : parts_.observers) observer->OnEval(point_->eval);
  const auto& values = point_->eval.values;
  const auto value = std::find_if(values.begin(), values.end(),
                                  [&](const auto& entry) { return entry.first == config.metric(); });
  if (value == values.end() || !std::isfinite(value->second)) return absl::OkStatus();
  if (counters_->best_step >= 0 && !Better(config.metric(), value->second, counters_->best_metric)) {
    return absl::OkStatus();
  }
  counters_->best_step = counters_->step;
  counters_->best_metric = value->second;
  point_->new_best = config.keep_best();
  return absl::OkStatus();
}

bool TrainLoop::CheckpointDueBySteps() const {
  const int64_t every = parts_.config->execution().checkpoint().every_steps();
  return every > 0 && counters_->step > 0 && counters_->step % every == 0;
}

bool TrainLoop::CheckpointDueByTime() const {
  // Rank 0's clock counts; while its disk is still busy with the last one, the next can wait.
  if (parts_.checkpoints != nullptr && parts_.checkpoints->busy()) return false;
  const double minutes = parts_.config->execution().checkpoint().every_minutes();
  return minutes > 0 && MonotonicSeconds() - point_->last_save >= 60 * minutes;
}

absl::Status TrainLoop::SaveCheckpoint(bool best) {
  if (parts_.integrity != nullptr && parts_.integrity->enabled() &&
      !parts_.integrity->HasAgreedOn(counters_->step)) {
    RETURN_IF_ERROR(CompareStates());
    if (point_->diverged) return absl::OkStatus();
  }
  RETURN_IF_ERROR(ReachFault(parts_.faults, "save.begin"));
  const Busy::Scope copying(parts_.busy);
  point_->last_save = MonotonicSeconds();
  point_->saved_step = counters_->step;
  TrainTensors tensors = parts_.state->Tensors();
  if (parts_.shards != nullptr) RETURN_IF_ERROR(CollectMoments(&tensors));
  if (parts_.compressor != nullptr) {
    RETURN_IF_ERROR(AppendCompressionState(*parts_.communicator, *parts_.compressor, &error_memories_,
                                           &tensors.optimizer));
  }
  const bool keeps = best && parts_.kept_best != nullptr;
  if (parts_.checkpoints == nullptr && !keeps) return absl::OkStatus();  // another rank writes
  TraceSpan span(parts_.trace, "snapshot", counters_->step);
  Manifest manifest = parts_.manifest;
  manifest.step = counters_->step;
  manifest.position = counters_->step * parts_.config->global_batch();
  manifest.counters = counters_->ToManifest();
  manifest.train_seconds = point_->seconds + MonotonicSeconds() - begin_;
  manifest.metrics = {{"loss", point_->loss}};
  for (const auto& [name, value] : point_->eval.values) manifest.metrics["eval." + name] = value;
  if (keeps) parts_.kept_best->Keep(manifest, tensors);
  if (parts_.checkpoints == nullptr) return absl::OkStatus();
  const absl::Status saved = parts_.checkpoints->Save(std::move(manifest), tensors, best);
  collected_.clear();  // copied
  return saved;
}

}  // namespace lockstep::train
