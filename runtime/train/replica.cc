#include "runtime/train/replica.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/core/clock.h"
#include "runtime/train/bucket_plan.h"

namespace lockstep::train {
namespace {

void AddTo(const graph::LaneResult& from, graph::LaneResult* to) {
  to->loss.sum += from.loss.sum;
  to->loss.weight += from.loss.weight;
  to->metrics.resize(from.metrics.size());
  for (size_t i = 0; i < from.metrics.size(); ++i) {
    to->metrics[i].sum += from.metrics[i].sum;
    to->metrics[i].weight += from.metrics[i].weight;
  }
}

}  // namespace

std::vector<Bucket> GradientBuckets(const graph::LaneProgram& program, int64_t bucket_bytes) {
  const graph::ParameterLayout& layout = program.parameter_layout();
  std::vector<int64_t> ends;
  for (size_t i = 0; i < layout.entries.size(); ++i) {
    const bool last = i + 1 == layout.entries.size();
    ends.push_back(static_cast<int64_t>(last ? layout.total_elements : layout.entries[i + 1].offset));
  }
  return PlanBuckets(ends, bucket_bytes / static_cast<int64_t>(sizeof(float)),
                     static_cast<int64_t>(program.state_layout().total_elements));
}

absl::StatusOr<std::unique_ptr<Replica>> Replica::Create(std::shared_ptr<const graph::LaneProgram> program,
                                                         comm::Communicator* communicator, LaneTeam* team,
                                                         const ReplicaOptions& options) {
  auto replica = std::unique_ptr<Replica>(new Replica(std::move(program), communicator, team, options));
  const graph::ParameterLayout& layout = replica->program_->parameter_layout();
  auto buckets = GradientBuckets(*replica->program_, options.bucket_bytes);
  replica->bucket_of_last_parameter_.assign(layout.entries.size(), -1);
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i].last_parameter >= 0) {
      replica->bucket_of_last_parameter_[buckets[i].last_parameter] = static_cast<int>(i);
    }
  }
  ASSIGN_OR_RETURN(replica->reducer_, GradientReducer::Create(communicator, std::move(buckets),
                                                              {.lanes = options.lanes,
                                                               .threads = team->size(),
                                                               .reproducible = options.reproducible,
                                                               .algorithm = options.algorithm,
                                                               .wire = options.wire,
                                                               .exchange = options.compressor == nullptr,
                                                               .shards = options.shards,
                                                               .mirror = options.mirror}));
  return replica;
}

Replica::Replica(std::shared_ptr<const graph::LaneProgram> program, comm::Communicator* communicator,
                 LaneTeam* team, const ReplicaOptions& options)
    : program_(std::move(program)),
      communicator_(communicator),
      team_(team),
      options_(options),
      owned_(comm::LanesOfRank(communicator->rank(), communicator->size(), options.lanes)),
      parameter_elements_(static_cast<int64_t>(program_->parameter_layout().total_elements)),
      results_(owned_.size()) {
  for (int i = 0; i < team->size(); ++i) runners_.push_back(std::make_unique<graph::LaneRunner>(program_));
}

absl::StatusOr<Replica::Gradient> Replica::Step(const ModelState& state, uint64_t dropout_key,
                                                const FetchBatch& fetch) {
  const double start = MonotonicSeconds();
  reducer_->BeginStep();
  next_lane_ = owned_.begin;
  {
    std::lock_guard lock(failure_mutex_);
    failure_ = interruption_;
    failed_ = !failure_.ok();
    if (failed_) return failure_;
  }
  team_->Run([&](int thread) { RunLanes(thread, state, dropout_key, fetch); });
  const double computed = MonotonicSeconds();
  if (failed_) {
    std::unique_lock lock(failure_mutex_);
    const absl::Status failure = failure_;
    lock.unlock();
    communicator_->Abort(failure);
    (void)reducer_->Finish();
    return failure;
  }
  Gradient gradient;
  ASSIGN_OR_RETURN(gradient.values, reducer_->Finish());
  if (options_.compressor != nullptr) {
    RETURN_IF_ERROR(options_.compressor->Reduce(*communicator_, *team_, gradient.values));
  }
  gradient.state_deltas = gradient.values + parameter_elements_;
  gradient.lanes = results_;
  gradient.compute_seconds = computed - start;
  gradient.comm_seconds = MonotonicSeconds() - computed;
  return gradient;
}

void Replica::RunLanes(int thread, const ModelState& state, uint64_t dropout_key, const FetchBatch& fetch) {
  for (int lane = NextLane(thread, -1); lane < owned_.end && !failed_; lane = NextLane(thread, lane)) {
    const absl::Status status =
        RunLane(lane, thread, state, dropout_key, fetch, &results_[lane - owned_.begin]);
    if (!status.ok()) Fail(status);
  }
}

int Replica::NextLane(int thread, int previous) {
  // REPRODUCIBLE: whoever is free takes the next one. UNORDERED adds lanes in the order in which a thread
  // runs them, so there each thread has lanes of its own.
  if (options_.reproducible) return next_lane_.fetch_add(1);
  return previous < 0 ? owned_.begin + thread : previous + team_->size();
}

absl::Status Replica::RunLane(int lane, int thread, const ModelState& state, uint64_t dropout_key,
                              const FetchBatch& fetch, graph::LaneResult* sums) {
  const GradientReducer::Slot slot = reducer_->Acquire(lane, thread);
  if (slot.gradient == nullptr) return absl::CancelledError("another lane failed");
  const std::function<void(int)> on_ready = [&](int entry) {
    if (bucket_of_last_parameter_[entry] >= 0)
      reducer_->BucketDone(lane, thread, bucket_of_last_parameter_[entry]);
  };
  *sums = graph::LaneResult();
  WorkMarks::Scope mark(options_.marks, {options_.marks != nullptr ? options_.marks->step() : 0, lane,
                                         WorkStage::kLane, /*item=*/0});
  const std::function<void()> on_operator = [this, &mark] {
    communicator_->NoteProgress();
    mark.Advance();
  };
  RETURN_IF_ERROR(ReachLane(lane));
  graph::LaneResult result;
  LaneBatch batch;
  for (int micro = 0; micro < options_.accumulate; ++micro) {
    RETURN_IF_ERROR(fetch(lane, micro, thread, &batch));
    graph::LaneArgs args = Arguments(state, dropout_key, batch, slot.gradient);
    args.accumulate = slot.accumulate || micro > 0;
    if (micro + 1 == options_.accumulate) args.on_gradient_ready = &on_ready;
    args.cancelled = &failed_;
    args.on_operator_done = &on_operator;
    RETURN_IF_ERROR(runners_[thread]->Run(args, &result));
    AddTo(result, sums);
  }
  const std::vector<Bucket>& buckets = reducer_->buckets();
  if (!buckets.empty() && buckets.back().last_parameter < 0) {
    reducer_->BucketDone(lane, thread, static_cast<int>(buckets.size()) - 1);
  }
  return absl::OkStatus();
}

absl::Status Replica::ReachLane(int lane) {
  if (options_.faults == nullptr || !options_.faults->armed()) return absl::OkStatus();
  return options_.faults->Reach(absl::StrCat("lane.", lane));
}

graph::LaneArgs Replica::Arguments(const ModelState& state, uint64_t dropout_key, const LaneBatch& batch,
                                   float* gradient) const {
  graph::LaneArgs args;
  args.parameters = state.parameters().data();
  args.gradients = gradient;
  args.inputs = batch.inputs;
  args.sample_weights = batch.weights;
  args.states = state.states().data();
  args.state_deltas = gradient + parameter_elements_;
  args.on_operator_done = &note_progress_;
  args.context.dropout_key = dropout_key;
  args.context.positions = batch.positions;
  return args;
}

void Replica::Fail(const absl::Status& status) {
  std::lock_guard lock(failure_mutex_);
  if (!failed_.exchange(true)) failure_ = status;
  reducer_->Cancel();
}

void Replica::Interrupt(const absl::Status& reason) {
  {
    std::lock_guard lock(failure_mutex_);
    if (interruption_.ok()) interruption_ = reason;
  }
  Fail(reason);
}

absl::StatusOr<Replica::NonFinite> Replica::FindNonFinite(const ModelState& state, uint64_t dropout_key,
                                                          const FetchBatch& fetch) {
  NonFinite result;
  graph::LaneResult sums;
  LaneBatch batch;
  AlignedBuffer<float> gradient(parameter_elements_ + program_->state_layout().total_elements);
  for (int lane = owned_.begin; lane < owned_.end; ++lane) {
    for (int micro = 0; micro < options_.accumulate; ++micro) {
      RETURN_IF_ERROR(fetch(lane, micro, 0, &batch));
      graph::LaneArgs args = Arguments(state, dropout_key, batch, gradient.data());
      args.check_finite = true;
      absl::Status found;
      team_->Run([&](int thread) {
        if (thread == 0) found = runners_[0]->Run(args, &sums);
      });
      if (found.ok()) continue;
      result.lanes.push_back(lane);
      result.first.Update(Annotate(found, absl::StrCat("lane ", lane, ", micro-batch ", micro)));
      break;
    }
  }
  return result;
}

}  // namespace lockstep::train
