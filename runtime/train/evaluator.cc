#include "runtime/train/evaluator.h"

#include <cmath>
#include <utility>

namespace lockstep::train {

std::vector<std::pair<std::string, double>> MeansOf(const graph::LaneResult& sums,
                                                    const std::vector<std::string>& metric_names,
                                                    double bytes_per_target) {
  const double loss = sums.loss.sum / sums.loss.weight;
  std::vector<std::pair<std::string, double>> means = {{"loss", loss}};
  for (size_t i = 0; i < metric_names.size(); ++i) {
    means.emplace_back(metric_names[i], sums.metrics[i].sum / sums.metrics[i].weight);
  }
  if (bytes_per_target > 0) means.emplace_back("bits_per_byte", loss / std::log(2.0) / bytes_per_target);
  return means;
}

Evaluator::Evaluator(std::shared_ptr<const graph::LaneProgram> program, comm::Communicator* communicator,
                     LaneTeam* team)
    : program_(std::move(program)), communicator_(communicator), team_(team) {}

absl::StatusOr<graph::LaneResult> Evaluator::Run(const ModelState& state, Feed& feed) {
  while (static_cast<int>(runners_.size()) < team_->size()) {
    runners_.push_back(std::make_unique<graph::LaneRunner>(program_));
  }
  const size_t per_chunk = 3 + 2 * program_->metric_names().size();
  const int64_t chunks = feed.eval_chunks();
  std::vector<double> sums(per_chunk * chunks, 0.0);  // each chunk's place is filled by one rank
  {
    std::lock_guard lock(failure_mutex_);
    failure_ = interruption_;
    failed_ = !failure_.ok();
    if (failed_) return failure_;
  }
  // To ranks first, then to a rank's threads: ranks may have different numbers of threads.
  const int64_t rank = communicator_->rank(), ranks = communicator_->size();
  team_->Run([&](int thread) {
    for (int64_t chunk = rank + ranks * thread; chunk < chunks && !failed_; chunk += ranks * team_->size()) {
      const absl::Status status = RunChunk(chunk, thread, state, feed, &sums[per_chunk * chunk]);
      if (!status.ok()) Fail(status);
    }
  });
  if (failed_) {
    std::unique_lock lock(failure_mutex_);
    const absl::Status failure = failure_;
    lock.unlock();
    communicator_->Abort(failure);
    return failure;
  }
  const comm::Buffer buffer = comm::BufferOf(absl::MakeSpan(sums));
  RETURN_IF_ERROR(communicator_->AllReduce(buffer, buffer, comm::ReduceOp::kSum));

  graph::LaneResult total;
  total.metrics.resize(program_->metric_names().size());
  damaged_ = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const double* in = &sums[per_chunk * chunk];
    total.loss.sum += *in++;
    total.loss.weight += *in++;
    for (graph::LaneSum& metric : total.metrics) {
      metric.sum += *in++;
      metric.weight += *in++;
    }
    damaged_ += static_cast<int64_t>(*in);
  }
  return total;
}

void Evaluator::Fail(const absl::Status& status) {
  std::lock_guard lock(failure_mutex_);
  if (!failed_.exchange(true)) failure_ = status;
}

void Evaluator::Interrupt(const absl::Status& reason) {
  {
    std::lock_guard lock(failure_mutex_);
    if (interruption_.ok()) interruption_ = reason;
  }
  Fail(reason);
}

absl::Status Evaluator::RunChunk(int64_t chunk, int thread, const ModelState& state, Feed& feed,
                                 double* sums) {
  LaneBatch batch;
  RETURN_IF_ERROR(feed.FetchEval(chunk, thread, &batch));
  graph::LaneArgs args;
  args.parameters = (state.ema().empty() ? state.parameters() : state.ema()).data();
  args.inputs = batch.inputs;
  args.sample_weights = batch.weights;
  args.states = state.states().data();
  args.context.positions = batch.positions;
  args.on_operator_done = &note_progress_;
  args.cancelled = &failed_;
  graph::LaneResult result;
  RETURN_IF_ERROR(runners_[thread]->Run(args, &result));
  *sums++ = result.loss.sum;
  *sums++ = result.loss.weight;
  for (const graph::LaneSum& metric : result.metrics) {
    *sums++ = metric.sum;
    *sums++ = metric.weight;
  }
  *sums = static_cast<double>(batch.damaged);
  return absl::OkStatus();
}

}  // namespace lockstep::train
