// A source of samples that marks each one while it is decoded, so that a record which kills its reader is known
// by name (work_marks.h).
#ifndef LOCKSTEP_RUNTIME_TRAIN_MARKED_SOURCE_H_
#define LOCKSTEP_RUNTIME_TRAIN_MARKED_SOURCE_H_

#include <atomic>
#include <memory>
#include <utility>

#include "runtime/data/batcher.h"
#include "runtime/data/sample_source.h"
#include "runtime/train/work_marks.h"

namespace lockstep::train {

// Everything else is the source's own. Thread-safe.
class MarkedSource final : public data::SampleSource {
 public:
  MarkedSource(std::shared_ptr<const data::SampleSource> source, const data::BatchPlan& plan)
      : source_(std::move(source)), global_batch_(plan.global_batch), lanes_(plan.lanes) {}

  // Borrowed; null again before it goes.
  void SetMarks(WorkMarks* marks) { marks_ = marks; }

  int64_t size() const override { return source_->size(); }
  const std::vector<data::InputSpec>& inputs() const override { return source_->inputs(); }
  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    return source_->Decode(sample, outputs);
  }
  absl::Status DecodeAt(int64_t sample, int64_t position,
                        absl::Span<std::byte* const> outputs) const override {
    const WorkMarks::Scope scope(
        marks_.load(),
        {position / global_batch_ + 1, static_cast<int>(position % global_batch_ / (global_batch_ / lanes_)),
         WorkStage::kDecode, position});
    return source_->DecodeAt(sample, position, outputs);
  }
  void MixBatch(absl::Span<const int64_t> positions, absl::Span<const float> weights,
                absl::Span<std::byte* const> inputs) const override {
    source_->MixBatch(positions, weights, inputs);
  }
  void Prefetch(int64_t sample) const override { source_->Prefetch(sample); }
  std::shared_ptr<const void> Announce(absl::Span<const int64_t> samples) const override {
    return source_->Announce(samples);
  }
  const std::string& fingerprint() const override { return source_->fingerprint(); }
  std::string Describe(int64_t sample) const override { return source_->Describe(sample); }
  double BytesPerTarget(int64_t samples) const override { return source_->BytesPerTarget(samples); }
  bool repeats_first_step() const override { return source_->repeats_first_step(); }

 private:
  const std::shared_ptr<const data::SampleSource> source_;
  const int64_t global_batch_, lanes_;
  std::atomic<WorkMarks*> marks_{nullptr};
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_MARKED_SOURCE_H_
