// What the loop does when numbers look wrong, or ranks hold different ones.
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/bootstrap.h"
#include "runtime/train/agreement.h"
#include "runtime/train/damage_report.h"
#include "runtime/train/run_point.h"
#include "runtime/train/train_loop.h"

namespace lockstep::train {

absl::Status TrainLoop::ActOn(const GuardDecision& decision, const Verdict& verdict, StepMetrics* metrics) {
  using Action = GuardDecision::Action;
  const bool nonfinite = decision.reason == "nonfinite";
  std::string what = absl::StrCat("step ", counters_->step + 1, ": ", decision.message);
  if (decision.action == Action::kStop) {
    // Memory that failed makes wild numbers, too; then the run goes back instead.
    if (parts_.integrity != nullptr && parts_.integrity->enabled()) RETURN_IF_ERROR(CompareStates());
    if (point_->diverged) return absl::OkStatus();
    if (nonfinite) return StopForNonFinite(what);
    return NumericsError(absl::StrCat(what, "; stopped before the update of this step"));
  }
  const bool skip = decision.action == Action::kSkip;
  (skip ? metrics->skipped : metrics->warned) = decision.reason;
  if (parts_.communicator->rank() != 0) return absl::OkStatus();  // all ranks find the same
  if (nonfinite) absl::StrAppend(&what, WhereNotFinite(verdict));
  parts_.log->Warning(
      absl::StrCat(what, skip ? ": the update of this step is left out" : ": applied all the same"));
  return absl::OkStatus();
}

std::string TrainLoop::WhereNotFinite(const Verdict& verdict) const {
  std::string where;
  const std::vector<int> tensors = parts_.optimizer->NonFiniteParameters();
  if (!tensors.empty()) {
    // The layout has the last tensors of forward first, so the last of these is the earliest in the model.
    absl::StrAppend(&where, ", in the gradients of ", tensors.size(), " tensors of ",
                    parts_.state->layout().entries.size(), ", such as ",
                    parts_.state->layout().entries[tensors.back()].name);
  }
  std::vector<int> lanes;
  for (size_t lane = 0; lane < verdict.lane_losses.size(); ++lane) {
    if (!std::isfinite(verdict.lane_losses[lane])) lanes.push_back(static_cast<int>(lane));
  }
  if (!lanes.empty()) absl::StrAppend(&where, ", in the losses of lanes ", absl::StrJoin(lanes, ", "));
  return where;
}

absl::Status TrainLoop::StopForNonFinite(const std::string& what) {
  // Once more with every tensor looked at, to say in which lanes, and which one was first.
  const auto found = parts_.replica->FindNonFinite(*parts_.state, dropout_key_, FetchForStep());
  ASSIGN_OR_RETURN(const std::vector<std::string> lists,
                   comm::AllGatherText(*parts_.communicator,
                                       found.ok() ? absl::StrJoin(found->lanes, ", ") : std::string()));
  std::string lanes;
  for (const std::string& list : lists) {
    absl::StrAppend(&lanes, lanes.empty() || list.empty() ? "" : ", ", list);
  }
  const absl::Status first = found.ok() ? found->first : found.status();
  RETURN_IF_ERROR(AgreeOnStatus(*parts_.communicator,
                                Annotate(first, absl::StrCat(what, ", not finite in lanes ", lanes))));
  const bool half = parts_.config->compression().has_wire() && parts_.config->compression().wire() == FP16;
  return NumericsError(absl::StrCat(
      what, ": every tensor of every lane is finite, so their sum overflows",
      half ? " (compression { wire: FP16 } ends at 65504; wire: BF16 has the range of FP32)" : "",
      "; lower the learning rate, or set optimizer.clip_norm"));
}

absl::Status TrainLoop::CompareStates() {
  TraceSpan span(parts_.trace, "compare", counters_->step);
  ASSIGN_OR_RETURN(const bool same,
                   parts_.integrity->Compare(*parts_.team, parts_.state->Buffers(), counters_->step,
                                             counters_->ToManifest(), parts_.log));
  point_->diverged = !same;
  return absl::OkStatus();
}

void TrainLoop::FlipForTests(absl::string_view point, absl::Span<float> memory) {
  if (parts_.faults == nullptr) return;
  (void)parts_.faults->Reach(point,
                             {reinterpret_cast<std::byte*>(memory.data()), memory.size() * sizeof(float)});
}

// After the vote and before the step is committed: where it fails because a peer does, the step is done
// again.
absl::Status TrainLoop::NoteDamage(const Verdict& verdict, StepMetrics* metrics) {
  if (verdict.damaged == 0) return absl::OkStatus();
  const int64_t step = counters_->step + 1;
  ASSIGN_OR_RETURN(metrics->damage, GatherDamage(*parts_.communicator, parts_.feed->DamageOf(step - 1)));
  metrics->damaged = verdict.damaged;
  const int64_t so_far = counters_->damaged_records + verdict.damaged,
                most = parts_.config->data().damaged().most();
  const std::string records = FirstOf(metrics->damage, verdict.damaged);
  if (so_far > most) {
    return DataError(absl::StrCat("step ", step, ": ", so_far,
                                  " damaged records so far in this run, and data.damaged.most is ", most,
                                  "; those of this step: ", records));
  }
  if (verdict.sums.loss.weight == 0) {
    return DataError(absl::StrCat(
        "step ", step, ": every record of it is damaged, so there is nothing to learn from: ", records));
  }
  if (parts_.communicator->rank() == 0)
    parts_.log->Warning(absl::StrCat("step ", step, ": ", verdict.damaged,
                                     verdict.damaged == 1 ? " damaged record" : " damaged records", " (",
                                     so_far, " of at most ", most, " in this run): ", records));
  return absl::OkStatus();
}

absl::Status TrainLoop::NoteEvalDamage() {
  const int64_t damaged = parts_.evaluator->damaged();
  if (damaged == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string records,
                   GatherDamage(*parts_.communicator, parts_.feed->TakeEvalDamage()));
  point_->eval.values.emplace_back("damaged_records", static_cast<double>(damaged));
  if (parts_.communicator->rank() == 0)
    parts_.log->Warning(
        absl::StrCat("validation after step ", counters_->step, ": left out ", damaged,
                     damaged == 1 ? " damaged record: " : " damaged records: ", FirstOf(records, damaged)));
  return absl::OkStatus();
}

}  // namespace lockstep::train
