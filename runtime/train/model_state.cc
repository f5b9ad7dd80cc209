#include "runtime/train/model_state.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/train/safetensors.h"

namespace lockstep::train {
namespace {

std::vector<NamedTensor> AsTensors(const std::vector<NamedBuffer>& buffers) {
  return {buffers.begin(), buffers.end()};
}

}  // namespace

ModelState::ModelState(std::shared_ptr<const graph::ParameterLayout> parameters, graph::StateLayout states,
                       std::vector<std::string> moments, bool ema)
    : layout_(std::move(parameters)),
      state_layout_(std::move(states)),
      moment_names_(std::move(moments)),
      parameters_(layout_->total_elements),
      states_(state_layout_.total_elements) {
  for (size_t i = 0; i < moment_names_.size(); ++i) moments_.emplace_back(layout_->total_elements);
  if (ema) ema_ = AlignedBuffer<float>(layout_->total_elements);
}

void ModelState::Initialize(uint64_t seed) {
  graph::InitializeParameters(*layout_, seed, parameters_.span());
  graph::InitializeStates(state_layout_, states_.span());
  std::copy_n(parameters_.data(), ema_.size(), ema_.data());
  for (auto& moment : moments_) std::fill_n(moment.data(), moment.size(), 0.0f);
}

absl::Status ModelState::InitializeFrom(FileSystem* fs, const std::string& path, std::string* summary) {
  auto opened = SafetensorsFile::Open(fs, path, SafetensorsFile::Access::kRead);
  if (!opened.ok()) return CheckpointError(absl::StrCat("init_from: ", opened.status().message()));
  std::vector<NamedBuffer> targets;
  AppendParameters("", parameters_.span(), &targets);
  AppendStates(&targets);
  size_t taken = 0, ignored = 0;
  for (const NamedTensor& tensor : opened->view().tensors) {
    const auto target =
        std::find_if(targets.begin(), targets.end(), [&](auto& t) { return t.name == tensor.name; });
    if (target == targets.end()) {
      ++ignored;
      continue;
    }
    if (tensor.dtype != target->dtype || tensor.shape != target->shape) {
      return CheckpointError(
          absl::StrCat("init_from ", path, ": '", tensor.name, "' is ", NameOf(tensor.dtype),
                       tensor.shape.ToString(), ", but the model has ", NameOf(target->dtype),
                       target->shape.ToString(), "; change the model or remove it from the file"));
    }
    std::memcpy(target->data, tensor.data, tensor.size_bytes());
    ++taken;
  }
  if (taken == 0) {
    return CheckpointError(absl::StrCat("init_from ", path, ": none of its ", ignored,
                                        " tensors has a name of this model, such as '", targets.front().name,
                                        "'"));
  }
  std::copy_n(parameters_.data(), ema_.size(), ema_.data());
  *summary = absl::StrCat("init_from ", path, ": ", taken, " of the model's ", targets.size(),
                          " tensors taken, ", ignored, " in the file not used");
  return absl::OkStatus();
}

absl::Status ModelState::Load(const LoadedCheckpoint& checkpoint) {
  const TrainTensors& from = checkpoint.tensors();
  std::vector<NamedTensor> model = from.parameters;
  model.insert(model.end(), from.buffers.begin(), from.buffers.end());
  std::vector<NamedTensor> moments;
  std::copy_if(from.optimizer.begin(), from.optimizer.end(), std::back_inserter(moments),
               [](const NamedTensor& tensor) { return !absl::StartsWith(tensor.name, kCompressionPrefix); });
  std::vector<NamedBuffer> model_targets, moment_targets, ema_targets;
  AppendParameters("", parameters_.span(), &model_targets);
  AppendStates(&model_targets);
  for (size_t i = 0; i < moments_.size(); ++i) {
    AppendParameters(absl::StrCat(moment_names_[i], "."), moments_[i].span(), &moment_targets);
  }
  if (ema_.size() > 0) AppendParameters("", ema_.span(), &ema_targets);
  RETURN_IF_ERROR(CopyByName(checkpoint.Describe(), model, model_targets));
  RETURN_IF_ERROR(CopyByName(checkpoint.Describe(), moments, moment_targets));
  return CopyByName(checkpoint.Describe(), from.ema, ema_targets);
}

TrainTensors ModelState::Tensors() const {
  std::vector<NamedBuffer> parameters, buffers, optimizer, ema;
  AppendParameters("", parameters_.span(), &parameters);
  AppendStates(&buffers);
  for (size_t i = 0; i < moments_.size(); ++i) {
    AppendParameters(absl::StrCat(moment_names_[i], "."), moments_[i].span(), &optimizer);
  }
  if (ema_.size() > 0) AppendParameters("", ema_.span(), &ema);
  return {AsTensors(parameters), AsTensors(buffers), AsTensors(optimizer), AsTensors(ema)};
}

std::vector<NamedBuffer> ModelState::Buffers() const {
  std::vector<NamedBuffer> all;
  AppendParameters("", parameters_.span(), &all);
  AppendStates(&all);
  for (size_t i = 0; i < moments_.size(); ++i) {
    AppendParameters(absl::StrCat(moment_names_[i], "."), moments_[i].span(), &all);
  }
  if (ema_.size() > 0) AppendParameters(kEmaPrefix, ema_.span(), &all);
  return all;
}

size_t ModelState::size_bytes() const {
  return (parameters_.size() * (1 + moments_.size()) + states_.size() + ema_.size()) * sizeof(float);
}

void ModelState::AppendParameters(const std::string& prefix, absl::Span<float> flat,
                                  std::vector<NamedBuffer>* out) const {
  for (const auto& entry : layout_->entries) {
    out->push_back({absl::StrCat(prefix, entry.name), DType::kF32, entry.shape, flat.data() + entry.offset});
  }
}

void ModelState::AppendStates(std::vector<NamedBuffer>* out) const {
  for (const auto& entry : state_layout_.entries) {
    out->push_back({entry.name, DType::kF32, entry.shape, states_.data() + entry.offset});
  }
}

}  // namespace lockstep::train
