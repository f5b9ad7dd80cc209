// A small training state for the tests of checkpoints.
#ifndef LOCKSTEP_TESTS_TRAIN_SAMPLE_STATE_H_
#define LOCKSTEP_TESTS_TRAIN_SAMPLE_STATE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/train/checkpoint.h"
#include "runtime/train/manifest.h"

namespace lockstep::train {

// Values that depend on the step, so that checkpoints of different steps differ in every tensor. Not
// copyable: the views point into it.
class SampleState {
 public:
  explicit SampleState(int64_t step, size_t hidden = 300) {
    manifest.step = step;
    manifest.position = step * 64;
    manifest.seed = 1;
    manifest.dataset_fingerprint = "digits";
    manifest.recipe_sha256 = "abc";
    manifest.recipe_text = "lanes: 8\nseed: 1\n";
    manifest.world_size = 2;
    manifest.metrics["loss"] = 1.0 / static_cast<double>(step + 1);
    manifest.counters["skipped_steps"] = int64_t{3};
    manifest.counters["best"] = 0.975;
    manifest.counters["note"] = std::string("a\0b\"\xff", 5);
    weight_ = Fill(2 * hidden, step, 0.5f);
    bias_ = Fill(2, step, 0.25f);
    mean_ = Fill(2, step, 4.0f);
    moment_ = Fill(2, step, 1e-3f);
    average_ = Fill(2, step, -8.0f);
    const Shape pair({2});
    tensors.parameters = {
        {"fc.weight", DType::kF32, Shape({2, static_cast<int64_t>(hidden)}), weight_.data()},
        {"fc.bias", DType::kF32, pair, bias_.data()}};
    tensors.buffers = {{"norm.running_mean", DType::kF32, pair, mean_.data()}};
    tensors.optimizer = {{"adamw.m.fc.bias", DType::kF32, pair, moment_.data()}};
    tensors.ema = {{"fc.bias", DType::kF32, pair, average_.data()}};
  }
  SampleState(const SampleState&) = delete;
  SampleState& operator=(const SampleState&) = delete;

  StateHashes hashes() const {
    return HashState(tensors, manifest.step, manifest.position, manifest.counters);
  }

  Manifest manifest;
  TrainTensors tensors;

 private:
  static std::vector<float> Fill(size_t count, int64_t step, float scale) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i)
      values[i] = scale * static_cast<float>(i + 1) + static_cast<float>(step);
    return values;
  }
  std::vector<float> weight_, bias_, mean_, moment_, average_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_TESTS_TRAIN_SAMPLE_STATE_H_
