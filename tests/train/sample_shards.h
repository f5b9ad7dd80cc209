// A small run with an optimizer, whole, to compare shards with.
#ifndef LOCKSTEP_TESTS_TRAIN_SAMPLE_SHARDS_H_
#define LOCKSTEP_TESTS_TRAIN_SAMPLE_SHARDS_H_

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/core/rng.h"
#include "runtime/train/optimizer.h"
#include "runtime/train/state_shards.h"

namespace lockstep::train {

// Tensors of several norm chunks and of less than one.
inline std::shared_ptr<graph::ParameterLayout> SampleLayout() {
  auto layout = std::make_shared<graph::ParameterLayout>();
  for (const int64_t size : {30000, 5, 4096, 4097, 10000}) {
    graph::ParameterLayout::Entry entry;
    entry.name = absl::StrCat("p", layout->entries.size());
    entry.shape = *Shape::FromDims({size});
    entry.offset = layout->total_elements;
    entry.elements = static_cast<size_t>(size);
    layout->total_elements += static_cast<size_t>((size + 15) / 16 * 16);
    layout->entries.push_back(entry);
  }
  return layout;
}

inline graph::StateLayout SampleStates() {
  graph::StateLayout layout;
  graph::StateLayout::Entry entry;
  entry.name = "mean";
  entry.shape = *Shape::FromDims({10});
  entry.elements = 10;
  layout.entries.push_back(entry);
  layout.total_elements = 16;
  return layout;
}

inline std::vector<Bucket> SampleBuckets(const graph::ParameterLayout& layout) {
  std::vector<int64_t> ends;
  for (size_t i = 0; i < layout.entries.size(); ++i) {
    const bool last = i + 1 == layout.entries.size();
    ends.push_back(static_cast<int64_t>(last ? layout.total_elements : layout.entries[i + 1].offset));
  }
  return PlanBuckets(ends, 20000, 0);
}

// Zero in padding, as every gradient.
inline AlignedBuffer<float> SampleGradient(const graph::ParameterLayout& layout, int64_t step) {
  AlignedBuffer<float> gradient(layout.total_elements);
  for (const auto& entry : layout.entries) {
    for (size_t i = entry.offset; i < entry.offset + entry.elements; ++i) {
      const auto bits = static_cast<int64_t>(Mix64(static_cast<uint64_t>(step) * 1000003 + i) % 2001);
      gradient[i] = static_cast<float>(bits - 1000) / 777.0f;
    }
  }
  return gradient;
}
inline std::vector<float> SampleDeltas(int64_t step) {
  std::vector<float> deltas(16);  // zero in padding, too
  std::fill_n(deltas.begin(), 10, static_cast<float>(step));
  return deltas;
}

inline OptimizerConfig SampleAdamW() {
  OptimizerConfig config;
  auto* adamw = config.mutable_adamw();
  adamw->set_lr(0.01);
  adamw->set_beta1(0.9);
  adamw->set_beta2(0.99);
  adamw->set_epsilon(1e-8);
  adamw->set_weight_decay(0.1);
  adamw->set_no_decay("p1");
  return config;
}
inline EmaConfig SampleEma() {
  EmaConfig ema;
  ema.set_decay(0.9);
  return ema;
}

inline std::unique_ptr<ModelState> SampleState() {
  return std::make_unique<ModelState>(SampleLayout(), SampleStates(), MomentNames(SampleAdamW()),
                                      /*ema=*/true);
}

// Of the update that makes step `step` (counted from 1).
inline StepUpdate SampleUpdate(int64_t step) { return {0.25, 0.01 / static_cast<double>(step), step - 1}; }

inline bool SameBits(absl::Span<const float> a, absl::Span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace lockstep::train

#endif  // LOCKSTEP_TESTS_TRAIN_SAMPLE_SHARDS_H_
