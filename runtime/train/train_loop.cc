#include "runtime/train/train_loop.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "runtime/core/clock.h"
#include "runtime/core/rng.h"
#include "runtime/train/agreement.h"
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
  return {{"skipped_steps", skipped_steps}, {"best_step", best_step}, {"best_metric", best_metric}};
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
    if (EvaluationDue()) RETURN_IF_ERROR(Evaluate(/*scheduled=*/true));
    if (CheckpointDueBySteps() || verdict.checkpoint_due || new_best_)
      RETURN_IF_ERROR(SaveCheckpoint(new_best_));
    result_.signal = verdict.signal;
  }
  result_.train_seconds = MonotonicSeconds() - begin;
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
  RETURN_IF_ERROR(ReachFault(parts_.faults, "step.begin"));
  TraceSpan whole(parts_.trace, "step", step + 1);
  Replica::Gradient gradient;
  {
    TraceSpan span(parts_.trace, "lanes", step + 1);
    ASSIGN_OR_RETURN(gradient, parts_.replica->Step(*parts_.state, dropout_key_, FetchForStep()));
  }
  Ballot ballot{.lanes = gradient.lanes,
                .signal = parts_.stop_signal != nullptr ? parts_.stop_signal->load() : 0,
                .checkpoint_due = CheckpointDueByTime()};
  const double vote_begin = MonotonicSeconds();
  ASSIGN_OR_RETURN(*verdict, Vote(*parts_.communicator, parts_.config->lanes(),
                                  static_cast<int>(parts_.replica->program().metric_names().size()), ballot));
  const double comm_seconds = gradient.comm_seconds + MonotonicSeconds() - vote_begin;

  const double loss = verdict->sums.loss.sum / verdict->sums.loss.weight;
  StepMetrics metrics;
  RETURN_IF_ERROR(Commit(gradient, *verdict, loss, 1.0 / verdict->sums.loss.weight, &metrics));

  const int64_t batch = parts_.config->global_batch();
  metrics.step = counters_->step;
  metrics.epoch =
      static_cast<double>(counters_->step * batch) / static_cast<double>(parts_.feed->facts().records);
  metrics.loss = loss;
  metrics.step_seconds = MonotonicSeconds() - begin;
  metrics.samples_per_second = static_cast<double>(batch) / metrics.step_seconds;
  metrics.comm_seconds = comm_seconds;
  metrics.data_wait_seconds = parts_.feed->TakeWaitSeconds();
  metrics.world_size = parts_.communicator->size();
  metrics.generation = static_cast<int64_t>(parts_.communicator->generation());
  ids_.clear();
  if (parts_.ledger && !parts_.observers.empty()) parts_.feed->RecordIds(step, &ids_);
  for (Observer* observer : parts_.observers) observer->OnStep(metrics, ids_);
  result_.loss = loss;
  ++result_.steps_here;
  return absl::OkStatus();
}

absl::Status TrainLoop::Commit(const Replica::Gradient& gradient, const Verdict& verdict, double loss,
                               double scale, StepMetrics* metrics) {
  (void)verdict;
  TraceSpan span(parts_.trace, "update", counters_->step + 1);
  const double norm = parts_.optimizer->Norm(*parts_.team, gradient.values, scale);
  metrics->grad_norm = norm;
  metrics->lr =
      parts_.optimizer->base_lr() * ScheduleFactor(parts_.config->schedule(), counters_->step, plan_.horizon);
  if (!std::isfinite(loss) || !std::isfinite(norm)) {
    RETURN_IF_ERROR(HandleNonFinite(loss, norm));
    ++counters_->skipped_steps;
  } else {
    parts_.optimizer->Update(*parts_.team, gradient.values, scale * parts_.optimizer->ClipFactor(norm),
                             metrics->lr, counters_->step - counters_->skipped_steps, *parts_.state);
    UpdateStates(gradient);
  }
  ++counters_->step;
  return absl::OkStatus();
}

void TrainLoop::UpdateStates(const Replica::Gradient& gradient) {
  const absl::Span<float> states = parts_.state->states();
  const float micro_batches = static_cast<float>(parts_.config->lanes() * parts_.config->accumulate());
  for (size_t i = 0; i < states.size(); ++i) states[i] += gradient.state_deltas[i] / micro_batches;
}

absl::Status TrainLoop::HandleNonFinite(double loss, double norm) {
  const std::string what =
      absl::StrCat("step ", counters_->step + 1, ": loss ", loss, ", gradient norm ", norm);
  if (parts_.config->numerics().on_nonfinite() == SKIP) {
    if (parts_.communicator->rank() == 0) {  // all ranks find the same
      parts_.log->Warning(
          absl::StrCat(what, ": the update of this step is left out (numerics.on_nonfinite: SKIP)"));
    }
    return absl::OkStatus();
  }
  // Once more with every tensor looked at, to say which one was first.
  const absl::Status found = parts_.replica->FindNonFinite(*parts_.state, dropout_key_, FetchForStep());
  RETURN_IF_ERROR(AgreeOnStatus(*parts_.communicator, Annotate(found, what)));
  const bool half = parts_.config->compression().has_wire() && parts_.config->compression().wire() == FP16;
  return NumericsError(absl::StrCat(
      what, ": every tensor of every lane is finite, so their sum overflows",
      half ? " (compression { wire: FP16 } ends at 65504; wire: BF16 has the range of FP32)" : "",
      "; lower the learning rate, or set optimizer.clip_norm"));
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
  const double minutes = parts_.config->execution().checkpoint().every_minutes();
  return minutes > 0 && MonotonicSeconds() - last_checkpoint_ >= 60 * minutes;
}

absl::Status TrainLoop::SaveCheckpoint(bool best) {
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
