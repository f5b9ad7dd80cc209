#include "runtime/data/batcher.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "runtime/core/thread.h"

namespace lockstep::data {

absl::Status BatchPlan::Check() const {
  if (lanes < 1 || accumulate < 1 || global_batch < 1) {
    return ConfigError("global_batch, lanes and accumulate must be at least 1");
  }
  if (global_batch % lanes != 0) {
    return ConfigError(absl::StrCat("global_batch ", global_batch, " is not a multiple of lanes ", lanes));
  }
  if (global_batch / lanes % accumulate != 0) {
    return ConfigError(absl::StrCat("a lane's ", global_batch / lanes, " samples (global_batch ",
                                    global_batch, " / lanes ", lanes, ") are not a multiple of accumulate ",
                                    accumulate));
  }
  return absl::OkStatus();
}

int64_t EvalPlan::SamplesIn(int64_t chunk) const {
  return std::max<int64_t>(0, std::min(micro_batch, samples - FirstSample(chunk)));
}

Batch::Batch(absl::Span<const InputSpec> inputs, int64_t micro_batch)
    : weights_(micro_batch), positions_(micro_batch), samples_(micro_batch, -1) {
  for (const InputSpec& input : inputs) {
    inputs_.emplace_back(input.type.size_bytes() * static_cast<size_t>(micro_batch));
  }
}

Batcher::Batcher(std::shared_ptr<const SampleSource> source, Order order, BatchPlan plan)
    : source_(std::move(source)), order_(order), plan_(plan) {
  for (const InputSpec& input : source_->inputs()) sample_bytes_.push_back(input.type.size_bytes());
}

void Batcher::SamplesOfStep(int64_t step, absl::Span<int64_t> out) const {
  order_.SamplesAt(source_->repeats_first_step() ? 0 : step * plan_.global_batch, out);
}

void Batcher::SetPositions(int64_t first, Batch* batch) const {
  std::iota(batch->positions_.begin(), batch->positions_.end(), first);
}

absl::Status Batcher::Decode(int64_t count, Batch* batch) const {
  constexpr int64_t kAhead = 8;  // records whose way from memory overlaps with decoding the ones before
  const LaneArithmetic modes;    // scaled values must not depend on the modes of the thread that scales them
  absl::InlinedVector<std::byte*, 8> outputs(sample_bytes_.size());
  for (int64_t i = 0; i < std::min(kAhead, count); ++i) source_->Prefetch(batch->samples_[i]);
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) source_->Prefetch(batch->samples_[i + kAhead]);
    for (size_t k = 0; k < outputs.size(); ++k) {
      outputs[k] = batch->inputs_[k].data() + static_cast<size_t>(i) * sample_bytes_[k];
    }
    RETURN_IF_ERROR(source_->DecodeAt(batch->samples_[i], batch->positions_[i], outputs));
    batch->weights_[i] = 1;
  }
  return absl::OkStatus();
}

absl::Status Batcher::Fill(int64_t step, int lane, int micro, Batch* batch) const {
  const int64_t source_step = source_->repeats_first_step() ? 0 : step;
  order_.SamplesAt(plan_.FirstPosition(source_step, lane, micro), absl::MakeSpan(batch->samples_));
  SetPositions(plan_.FirstPosition(step, lane, micro), batch);
  const absl::Status decoded = Decode(batch->micro_batch(), batch);
  return decoded.ok() ? decoded : Annotate(decoded, absl::StrCat("step ", step + 1));
}

void Batcher::AddSamples(int64_t step, int lane, int micro, std::vector<int64_t>* samples) const {
  const size_t before = samples->size();
  samples->resize(before + static_cast<size_t>(plan_.micro_batch()));
  const int64_t source_step = source_->repeats_first_step() ? 0 : step;
  order_.SamplesAt(plan_.FirstPosition(source_step, lane, micro), absl::MakeSpan(*samples).subspan(before));
}

absl::Status Batcher::FillEval(const EvalPlan& plan, int64_t chunk, Batch* batch) const {
  const int64_t count = plan.SamplesIn(chunk);
  SetPositions(plan.FirstSample(chunk), batch);
  for (int64_t i = 0; i < plan.micro_batch; ++i)
    batch->samples_[i] = i < count ? plan.FirstSample(chunk) + i : -1;
  std::fill(batch->weights_.data() + count, batch->weights_.data() + batch->weights_.size(), 0.0f);
  for (size_t k = 0; k < sample_bytes_.size(); ++k) {
    const size_t filled = static_cast<size_t>(count) * sample_bytes_[k];
    if (filled < batch->input_bytes(static_cast<int>(k))) {
      std::memset(batch->inputs_[k].data() + filled, 0, batch->inputs_[k].size_bytes() - filled);
    }
  }
  const auto read = source_->Announce(absl::MakeConstSpan(batch->samples_).first(static_cast<size_t>(count)));
  return Decode(count, batch);
}

}  // namespace lockstep::data
