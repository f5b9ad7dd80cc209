#include "runtime/train/kept_best.h"

#include <chrono>
#include <future>
#include <utility>
#include <vector>

namespace lockstep::train {
namespace {

constexpr std::chrono::milliseconds kWaitSlice(200);  // between calls of while_waiting

}  // namespace

void KeptBest::Keep(const Manifest& manifest, const TrainTensors& tensors) {
  const auto copied = [&](const std::vector<NamedTensor>& from, TensorStore* store) {
    store->CopyFrom(from);
    return std::vector<NamedTensor>(store->tensors().begin(), store->tensors().end());
  };
  tensors_.parameters = copied(tensors.parameters, &copies_[0]);
  tensors_.buffers = copied(tensors.buffers, &copies_[1]);
  tensors_.optimizer = copied(tensors.optimizer, &copies_[2]);
  tensors_.ema = copied(tensors.ema, &copies_[3]);
  manifest_ = manifest;
  step_ = manifest.step;
}

SaveOutcome KeptBest::Write(CheckpointWriterOptions options) const {
  options.team = SaveTeam();
  auto saving = std::async(std::launch::async,
                           [&] { return SaveCheckpoint(options, manifest_, tensors_, /*best=*/true); });
  while (saving.wait_for(kWaitSlice) == std::future_status::timeout) {
    if (options.while_waiting) options.while_waiting();
  }
  return saving.get();
}

}  // namespace lockstep::train
