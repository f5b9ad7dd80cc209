// Micro-batches: which samples they hold (pure), and filling them.
#ifndef LOCKSTEP_RUNTIME_DATA_BATCHER_H_
#define LOCKSTEP_RUNTIME_DATA_BATCHER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/status.h"
#include "runtime/data/order.h"
#include "runtime/data/record_errors.h"
#include "runtime/data/sample_source.h"

namespace lockstep::data {

// How the positions of a step are dealt to lanes and micro-batches: contiguously, in lane order.
//
//   step t   positions t*B .. t*B + B - 1
//   lane l   its l-th B/L of them;   micro-batch m of the lane   its m-th B/L/accumulate of those
struct BatchPlan {
  int64_t global_batch = 1;  // B
  int lanes = 1;             // L, divides B
  int accumulate = 1;        // divides B / L

  // Error: ConfigError naming the two that do not divide.
  absl::Status Check() const;
  int64_t micro_batch() const { return global_batch / lanes / accumulate; }
  int64_t FirstPosition(int64_t step, int lane, int micro) const {
    return step * global_batch + lane * (global_batch / lanes) + micro * micro_batch();
  }
};

// A pass over samples 0 .. samples-1 in order, in chunks of micro_batch samples; the last is filled up with
// zeros of weight 0. The chunks are the same in any world, and any lane may take any of them.
struct EvalPlan {
  int64_t samples = 0;
  int64_t micro_batch = 1;

  int64_t chunks() const { return (samples + micro_batch - 1) / micro_batch; }
  int64_t FirstSample(int64_t chunk) const { return chunk * micro_batch; }
  int64_t SamplesIn(int64_t chunk) const;  // <= micro_batch
};

// What becomes of a sample whose record is proven to be damaged (DamageOf, record_errors.h). No other error
// is ever passed over, so every rank and every replay does the same.
struct DamagePolicy {
  enum class Kind : uint8_t {
    kFail,        // the error is returned
    kSubstitute,  // another sample of its block (Order::BlockOf) takes its place, chosen by (seed, sample)
    kMask,        // zeros, of weight 0
  };
  Kind kind = Kind::kFail;
  uint64_t seed = 0;
};

// A sample that was damaged, and what stands in its place.
struct DamagedSample {
  int64_t position = 0, sample = 0;
  int64_t instead = -1;  // -1: nothing, it has weight 0
  RecordDamage record;
};

// The buffers of one micro-batch: movable, reused from one to the next. Not thread-safe.
class Batch {
 public:
  Batch() = default;
  Batch(absl::Span<const InputSpec> inputs, int64_t micro_batch);  // zeroed

  int64_t micro_batch() const { return static_cast<int64_t>(weights_.size()); }
  const void* input(int i) const { return inputs_[i].data(); }  // [micro_batch, shape...], 64-byte aligned
  size_t input_bytes(int i) const { return inputs_[i].size_bytes(); }
  const float* weights() const {
    return weights_.data();
  }  // [micro_batch]: 1, or 0 where the batch is only filled up
  absl::Span<const int64_t> positions() const {
    return positions_;
  }  // [micro_batch] in the run; of an evaluation: sample ids
  absl::Span<const int64_t> samples() const {
    return samples_;
  }  // [micro_batch] sample ids; -1 where only filled up
  // In the order of positions; empty as a rule.
  const std::vector<DamagedSample>& damaged() const { return damaged_; }

 private:
  friend class Batcher;
  std::vector<AlignedBytes> inputs_;
  AlignedBuffer<float> weights_;
  std::vector<int64_t> positions_, samples_;
  std::vector<DamagedSample> damaged_;
  Order::Memo order_memo_;
};

// Immutable and thread-safe. Filling runs on the calling thread.
class Batcher {
 public:
  // `source` and `order` agree on the number of samples; `plan` passed Check.
  Batcher(std::shared_ptr<const SampleSource> source, Order order, BatchPlan plan, DamagePolicy damage = {});

  const SampleSource& source() const { return *source_; }
  const BatchPlan& plan() const { return plan_; }
  Batch MakeBatch() const { return Batch(source_->inputs(), plan_.micro_batch()); }
  Batch MakeBatch(const EvalPlan& plan) const { return Batch(source_->inputs(), plan.micro_batch); }

  // Sample ids of a whole step in position order (for the ledger), -1 where the batch is only filled up;
  // out.size() == global_batch.
  void SamplesOfStep(int64_t step, absl::Span<int64_t> out) const;

  // Micro-batch `micro` of `lane` in `step`. Error: the source's, naming also the step, counted from 1 as in
  // the metrics.
  absl::Status Fill(int64_t step, int lane, int micro, Batch* batch) const;
  // Adds the sample ids of the micro-batch, in position order, without what only fills it up.
  void AddSamples(int64_t step, int lane, int micro, std::vector<int64_t>* samples) const;
  // Chunk `chunk` of an evaluation.
  absl::Status FillEval(const EvalPlan& plan, int64_t chunk, Batch* batch) const;

 private:
  friend class Prefetcher;
  void SetPositions(int64_t first, Batch* batch) const;
  absl::Status Decode(Batch* batch) const;
  // Sample i of the batch, which gave `error`, as the policy says; or the error.
  absl::Status Mend(int64_t i, const absl::Status& error, absl::Span<std::byte* const> outputs,
                    Batch* batch) const;
  void Blank(int64_t i, Batch* batch) const;  // sample i of the batch: zeros of weight 0

  const std::shared_ptr<const SampleSource> source_;
  const Order order_;
  const BatchPlan plan_;
  const DamagePolicy damage_;
  std::vector<size_t> sample_bytes_;  // of each input
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_BATCHER_H_
