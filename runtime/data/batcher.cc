#include "runtime/data/batcher.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "runtime/core/rng.h"
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

Batcher::Batcher(std::shared_ptr<const SampleSource> source, Order order, BatchPlan plan, DamagePolicy damage)
    : source_(std::move(source)), order_(std::move(order)), plan_(plan), damage_(damage) {
  for (const InputSpec& input : source_->inputs()) sample_bytes_.push_back(input.type.size_bytes());
}

void Batcher::SamplesOfStep(int64_t step, absl::Span<int64_t> out) const {
  order_.SamplesAt(source_->repeats_first_step() ? 0 : step * plan_.global_batch, out);
}

void Batcher::SetPositions(int64_t first, Batch* batch) const {
  std::iota(batch->positions_.begin(), batch->positions_.end(), first);
}

void Batcher::Blank(int64_t i, Batch* batch) const {
  batch->weights_[i] = 0;
  for (size_t k = 0; k < sample_bytes_.size(); ++k) {
    std::memset(batch->inputs_[k].data() + static_cast<size_t>(i) * sample_bytes_[k], 0, sample_bytes_[k]);
  }
}

absl::Status Batcher::Decode(Batch* batch) const {
  constexpr int64_t kAhead = 8;  // records whose way from memory overlaps with decoding the ones before
  const LaneArithmetic modes;    // scaled values must not depend on the modes of the thread that scales them
  const int64_t count = batch->micro_batch();
  const auto prefetch = [&](int64_t i) {
    if (i < count && batch->samples_[i] >= 0) source_->Prefetch(batch->samples_[i]);
  };
  absl::InlinedVector<std::byte*, 8> outputs(sample_bytes_.size());
  batch->damaged_.clear();
  for (int64_t i = 0; i < kAhead; ++i) prefetch(i);
  for (int64_t i = 0; i < count; ++i) {
    prefetch(i + kAhead);
    if (batch->samples_[i] < 0) {
      Blank(i, batch);
      continue;
    }
    for (size_t k = 0; k < outputs.size(); ++k) {
      outputs[k] = batch->inputs_[k].data() + static_cast<size_t>(i) * sample_bytes_[k];
    }
    batch->weights_[i] = 1;
    const absl::Status decoded = source_->DecodeAt(batch->samples_[i], batch->positions_[i], outputs);
    if (!decoded.ok()) RETURN_IF_ERROR(Mend(i, decoded, outputs, batch));
  }
  return absl::OkStatus();
}

absl::Status Batcher::Mend(int64_t i, const absl::Status& error, absl::Span<std::byte* const> outputs,
                           Batch* batch) const {
  const std::optional<RecordDamage> found = DamageOf(error);
  if (!found || damage_.kind == DamagePolicy::Kind::kFail) return error;
  const int64_t sample = batch->samples_[i], position = batch->positions_[i];
  batch->damaged_.push_back({position, sample, -1, *found});
  if (damage_.kind == DamagePolicy::Kind::kMask) {
    Blank(i, batch);
    return absl::OkStatus();
  }
  // The others of the block in turn, beginning anywhere, until one is whole.
  const auto [first, size] = order_.BlockOf(sample);
  const uint64_t others = static_cast<uint64_t>(size) - 1;
  const uint64_t key = Mix64(DeriveKey(damage_.seed, "data/substitute") ^ static_cast<uint64_t>(sample));
  for (uint64_t k = 0; k < others; ++k) {
    const auto step = static_cast<int64_t>((key % others + k) % others) + 1;
    const int64_t other = first + (sample - first + step) % size;
    const absl::Status decoded = source_->DecodeAt(other, position, outputs);
    if (decoded.ok()) {
      batch->damaged_.back().instead = other;
      return absl::OkStatus();
    }
    if (!DamageOf(decoded)) return decoded;
  }
  return Annotate(error, absl::StrCat("none of the ", size,
                                      " records of a block is whole, so none can be put in the "
                                      "place of this one"));
}

absl::Status Batcher::Fill(int64_t step, int lane, int micro, Batch* batch) const {
  const int64_t source_step = source_->repeats_first_step() ? 0 : step;
  order_.SamplesAt(plan_.FirstPosition(source_step, lane, micro), absl::MakeSpan(batch->samples_),
                   &batch->order_memo_);
  SetPositions(plan_.FirstPosition(step, lane, micro), batch);
  const absl::Status decoded = Decode(batch);
  if (!decoded.ok()) return Annotate(decoded, absl::StrCat("step ", step + 1));
  absl::InlinedVector<std::byte*, 8> inputs;
  for (AlignedBytes& input : batch->inputs_) inputs.push_back(input.data());
  source_->MixBatch(batch->positions_, {batch->weights_.data(), batch->weights_.size()}, inputs);
  return absl::OkStatus();
}

void Batcher::AddSamples(int64_t step, int lane, int micro, std::vector<int64_t>* samples) const {
  const size_t before = samples->size();
  samples->resize(before + static_cast<size_t>(plan_.micro_batch()));
  const int64_t source_step = source_->repeats_first_step() ? 0 : step;
  order_.SamplesAt(plan_.FirstPosition(source_step, lane, micro), absl::MakeSpan(*samples).subspan(before));
  samples->erase(std::remove(samples->begin() + static_cast<ptrdiff_t>(before), samples->end(), -1),
                 samples->end());
}

absl::Status Batcher::FillEval(const EvalPlan& plan, int64_t chunk, Batch* batch) const {
  const int64_t count = plan.SamplesIn(chunk);
  SetPositions(plan.FirstSample(chunk), batch);
  for (int64_t i = 0; i < plan.micro_batch; ++i)
    batch->samples_[i] = i < count ? plan.FirstSample(chunk) + i : -1;
  const auto read = source_->Announce(absl::MakeConstSpan(batch->samples_).first(static_cast<size_t>(count)));
  return Decode(batch);
}

}  // namespace lockstep::data
