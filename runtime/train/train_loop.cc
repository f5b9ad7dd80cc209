#include "runtime/train/train_loop.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "runtime/core/clock.h"
#include "runtime/core/rng.h"
#include "runtime/train/compression/compression_state.h"
#include "runtime/train/schedule.h"

namespace lockstep::train {
namespace {

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
  guard.AddTo(&counters);
  return counters;
}

RunCounters RunCounters::FromManifest(const Manifest& manifest) {
  RunCounters counters;
  counters.step = manifest.step;
  counters.skipped_steps = Integer(manifest.counters, "skipped_steps", 0);
  counters.best_step = Integer(manifest.counters, "best_step", -1);
  const auto best = manifest.counters.find("best_metric");
  if (best != manifest.counters.end() && std::holds_alternative<double>(best->second)) {
    counters.best_metric = std::get<double>(best->second);
  }
  counters.guard = GuardState::FromCounters(manifest.counters);
  return counters;
}

TrainLoop::TrainLoop(LoopParts parts, LoopPlan plan, RunCounters* counters)
    : parts_(std::move(parts)),
      plan_(plan),
      counters_(counters),
      dropout_key_(DeriveKey(parts_.config->seed(), "dropout")),
      last_checkpoint_(MonotonicSeconds()),
      last_checkpoint_step_(counters->step > 0 ? counters->step : -1) {}

absl::StatusOr<LoopResult> TrainLoop::Run() {
  const double begin = MonotonicSeconds();
  while (counters_->step < plan_.stop && result_.signal == 0) {
    Verdict verdict;
    RETURN_IF_ERROR(Step(&verdict));
    if (!result_.diverged && parts_.integrity != nullptr && parts_.integrity->Due(counters_->step))
      RETURN_IF_ERROR(CompareStates());
    if (result_.diverged) break;
    if (EvaluationDue()) RETURN_IF_ERROR(Evaluate(/*scheduled=*/true));
    if (CheckpointDueBySteps() || verdict.checkpoint_due || new_best_)
      RETURN_IF_ERROR(SaveCheckpoint(new_best_));
    if (result_.diverged) break;
    result_.signal = verdict.signal;
  }
  result_.train_seconds = MonotonicSeconds() - begin;
  if (result_.diverged) return result_;
  // A stop that the schedule of validations does not name is looked at, but leaves no trace in the run's
  // state.
  const bool finished = result_.signal == 0;
  if (finished && parts_.evaluator != nullptr && last_eval_step_ != counters_->step) {
    RETURN_IF_ERROR(Evaluate(/*scheduled=*/counters_->step == plan_.horizon && result_.steps_here > 0));
  }
  if (last_checkpoint_step_ != counters_->step) RETURN_IF_ERROR(SaveCheckpoint(new_best_));
  return result_;
}

absl::Status TrainLoop::Step(Verdict* verdict) {
  const int64_t step = counters_->step;
  const double begin = MonotonicSeconds();
  if (parts_.faults != nullptr) parts_.faults->SetStep(step + 1);
  if (parts_.marks != nullptr) parts_.marks->SetStep(step + 1);
  RETURN_IF_ERROR(ReachFault(parts_.faults, "step.begin"));
  TraceSpan whole(parts_.trace, "step", step + 1);
  StepMetrics metrics;
  double norm = 0;
  ASSIGN_OR_RETURN(const Replica::Gradient gradient, ReduceAndVote(verdict, &norm, &metrics.comm_seconds));
  metrics.loss = verdict->sums.loss.sum / verdict->sums.loss.weight;
  RETURN_IF_ERROR(Commit(gradient, *verdict, norm, &metrics));
  if (result_.diverged) return absl::OkStatus();

  const int64_t batch = parts_.config->global_batch();
  metrics.step = counters_->step;
  metrics.epoch =
      static_cast<double>(counters_->step * batch) / static_cast<double>(parts_.feed->facts().records);
  metrics.step_seconds = MonotonicSeconds() - begin;
  metrics.samples_per_second = static_cast<double>(batch) / metrics.step_seconds;
  metrics.data_wait_seconds = parts_.feed->TakeWaitSeconds();
  metrics.world_size = parts_.communicator->size();
  metrics.generation = static_cast<int64_t>(parts_.communicator->generation());
  ids_.clear();
  if (parts_.ledger && !parts_.observers.empty()) parts_.feed->RecordIds(step, &ids_);
  for (Observer* observer : parts_.observers) observer->OnStep(metrics, ids_);
  result_.loss = metrics.loss;
  ++result_.steps_here;
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
    *norm = parts_.optimizer->Norm(*parts_.team, gradient.values, /*scale=*/1);
    Ballot ballot{.lanes = gradient.lanes,
                  .signal = parts_.stop_signal != nullptr ? parts_.stop_signal->load() : 0,
                  .checkpoint_due = CheckpointDueByTime(),
                  .checksum = parts_.optimizer->checksum()};
    const double vote_begin = MonotonicSeconds();
    ASSIGN_OR_RETURN(*verdict,
                     Vote(*parts_.communicator, parts_.config->lanes(),
                          static_cast<int>(parts_.replica->program().metric_names().size()), ballot));
    *comm_seconds += gradient.comm_seconds + MonotonicSeconds() - vote_begin;
    if (parts_.integrity == nullptr ||
        parts_.integrity->ReductionsAgree(step + 1, verdict->checksums, parts_.log))
      return gradient;
    if (tries == kMostTries) {
      return PeerError(absl::StrCat("step ", step + 1, ": ", tries,
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
  if (result_.diverged) return absl::OkStatus();
  if (decision.action == GuardDecision::Action::kApply) {
    parts_.optimizer->Update(*parts_.team, gradient.values,
                             scale * parts_.optimizer->ClipFactor(metrics->grad_norm), metrics->lr,
                             counters_->step - counters_->skipped_steps, *parts_.state);
    UpdateStates(gradient);
  } else {
    ++counters_->skipped_steps;
  }
  counters_->guard = guard;
  ++counters_->step;
  if (parts_.integrity != nullptr) parts_.integrity->Witness(counters_->step, verdict.lane_losses);
  FlipForTests("update.parameters", parts_.state->parameters());
  return absl::OkStatus();
}

void TrainLoop::UpdateStates(const Replica::Gradient& gradient) {
  const absl::Span<float> states = parts_.state->states();
  const float micro_batches = static_cast<float>(parts_.config->lanes() * parts_.config->accumulate());
  for (size_t i = 0; i < states.size(); ++i) states[i] += gradient.state_deltas[i] / micro_batches;
}

FetchBatch TrainLoop::FetchForStep() {
  return [this, step = counters_->step](int lane, int micro, int thread, LaneBatch* out) {
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
  const double period = eval.every_epochs() * static_cast<double>(parts_.feed->facts().records);
  const double batch = static_cast<double>(parts_.config->global_batch());
  return std::floor(static_cast<double>(step) * batch / period) >
         std::floor(static_cast<double>(step - 1) * batch / period);
}

absl::Status TrainLoop::Evaluate(bool scheduled) {
  TraceSpan span(parts_.trace, "evaluate", counters_->step);
  ASSIGN_OR_RETURN(const graph::LaneResult sums, parts_.evaluator->Run(*parts_.state, *parts_.feed));
  const EvalConfig& config = parts_.config->eval();
  result_.eval =
      MeansOf(sums, parts_.evaluator->program().metric_names(), parts_.feed->facts().eval_bytes_per_target);
  last_eval_step_ = counters_->step;
  if (!scheduled) return absl::OkStatus();
  const EvalMetrics metrics{counters_->step, result_.eval};
  for (Observer* observer : parts_.observers) observer->OnEval(metrics);
  const auto value = std::find_if(result_.eval.begin(), result_.eval.end(),
                                  [&](const auto& entry) { return entry.first == config.metric(); });
  if (value == result_.eval.end() || !std::isfinite(value->second)) return absl::OkStatus();
  if (counters_->best_step >= 0 && !Better(config.metric(), value->second, counters_->best_metric)) {
    return absl::OkStatus();
  }
  counters_->best_step = counters_->step;
  counters_->best_metric = value->second;
  new_best_ = config.keep_best();
  return absl::OkStatus();
}

bool TrainLoop::CheckpointDueBySteps() const {
  const int64_t every = parts_.config->execution().checkpoint().every_steps();
  return every > 0 && counters_->step % every == 0;
}

bool TrainLoop::CheckpointDueByTime() const {
  // Rank 0's clock counts; while its disk is still busy with the last one, the next can wait.
  if (parts_.checkpoints != nullptr && parts_.checkpoints->busy()) return false;
  const double minutes = parts_.config->execution().checkpoint().every_minutes();
  return minutes > 0 && MonotonicSeconds() - last_checkpoint_ >= 60 * minutes;
}

absl::Status TrainLoop::SaveCheckpoint(bool best) {
  if (parts_.integrity != nullptr && parts_.integrity->enabled() &&
      !parts_.integrity->HasAgreedOn(counters_->step)) {
    RETURN_IF_ERROR(CompareStates());
    if (result_.diverged) return absl::OkStatus();
  }
  new_best_ = false;
  last_checkpoint_ = MonotonicSeconds();
  last_checkpoint_step_ = counters_->step;
  TrainTensors tensors = parts_.state->Tensors();
  if (parts_.compressor != nullptr) {
    RETURN_IF_ERROR(AppendCompressionState(*parts_.communicator, *parts_.compressor, &error_memories_,
                                           &tensors.optimizer));
  }
  if (parts_.checkpoints == nullptr) return absl::OkStatus();  // another rank writes
  TraceSpan span(parts_.trace, "snapshot", counters_->step);
  Manifest manifest = parts_.manifest;
  manifest.step = counters_->step;
  manifest.position = counters_->step * parts_.config->global_batch();
  manifest.counters = counters_->ToManifest();
  manifest.metrics = {{"loss", result_.loss}};
  for (const auto& [name, value] : result_.eval) manifest.metrics["eval." + name] = value;
  return parts_.checkpoints->Save(std::move(manifest), tensors, best);
}

}  // namespace lockstep::train
