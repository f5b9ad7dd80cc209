#include "runtime/train/model_state.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
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
      held_({{0, static_cast<int64_t>(layout_->total_elements)}}),
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

void ModelState::HoldShard(HeldRanges held) {
  moments_.clear();  // the old memory goes before the new comes
  for (size_t i = 0; i < moment_names_.size(); ++i) moments_.emplace_back(held.elements());
  for (auto& moment : moments_) std::fill_n(moment.data(), moment.size(), 0.0f);
  held_ = std::move(held);
  sharded_ = true;
}

void ModelState::HoldShard(HeldRanges held, std::vector<AlignedBuffer<float>> moments) {
  moments_ = std::move(moments);
  held_ = std::move(held);
  sharded_ = true;
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
  AppendMoments(&moment_targets);
  if (ema_.size() > 0) AppendParameters("", ema_.span(), &ema_targets);
  RETURN_IF_ERROR(CopyByName(checkpoint.Describe(), model, model_targets));
  RETURN_IF_ERROR(sharded_ ? CheckByName(checkpoint.Describe(), moments, moment_targets)
                           : CopyByName(checkpoint.Describe(), moments, moment_targets));
  return CopyByName(checkpoint.Describe(), from.ema, ema_targets);
}

ReadRange ModelState::MomentReader(const LoadedCheckpoint& checkpoint, int i) const {
  struct Piece {
    ElementRange range;
    const char* data;
  };
  std::map<std::string, const NamedTensor*> by_name;
  for (const NamedTensor& tensor : checkpoint.tensors().optimizer) by_name[tensor.name] = &tensor;
  std::vector<Piece> pieces;
  for (const auto& entry : layout_->entries) {
    const auto begin = static_cast<int64_t>(entry.offset);
    pieces.push_back({{begin, begin + static_cast<int64_t>(entry.elements)},
                      static_cast<const char*>(by_name.at(MomentName(i, entry))->data)});
  }
  return [pieces = std::move(pieces)](ElementRange range, float* to) {
    std::fill_n(to, range.size(), 0.0f);
    for (const Piece& piece : pieces) {
      const ElementRange both = {std::max(range.begin, piece.range.begin),
                                 std::min(range.end, piece.range.end)};
      if (both.size() <= 0) continue;
      std::memcpy(to + (both.begin - range.begin),
                  piece.data + (both.begin - piece.range.begin) * sizeof(float), both.size() * sizeof(float));
    }
  };
}

void ModelState::AddStateDeltas(const float* sums, int micro_batches) {
  const absl::Span<float> states = states_.span();
  for (size_t i = 0; i < states.size(); ++i) states[i] += sums[i] / static_cast<float>(micro_batches);
}

TrainTensors ModelState::Tensors() const {
  std::vector<NamedBuffer> parameters, buffers, optimizer, ema;
  AppendParameters("", parameters_.span(), &parameters);
  AppendStates(&buffers);
  AppendMoments(&optimizer);
  if (ema_.size() > 0) AppendParameters("", ema_.span(), &ema);
  return {AsTensors(parameters), AsTensors(buffers), AsTensors(optimizer), AsTensors(ema)};
}

std::vector<NamedBuffer> ModelState::Buffers() const {
  std::vector<NamedBuffer> all;
  AppendParameters("", parameters_.span(), &all);
  AppendStates(&all);
  if (!sharded_) AppendMoments(&all);
  if (ema_.size() > 0) AppendParameters(kEmaPrefix, ema_.span(), &all);
  return all;
}

std::vector<NamedBuffer> ModelState::MomentPieces(const ElementRanges& ranges) const {
  std::vector<NamedBuffer> pieces;
  for (size_t i = 0; i < moments_.size(); ++i) {
    for (const ElementRange& range : ranges) {
      pieces.push_back({moment_names_[i], DType::kF32, Shape({range.size()}),
                        moments_[i].data() + held_.PlaceOf(range.begin)});
    }
  }
  return pieces;
}

std::vector<NamedBuffer> ModelState::StatesAndAverage() const {
  std::vector<NamedBuffer> all;
  AppendStates(&all);
  if (ema_.size() > 0) AppendParameters(kEmaPrefix, ema_.span(), &all);
  return all;
}

std::string ModelState::MomentName(int i, const graph::ParameterLayout::Entry& entry) const {
  return absl::StrCat(moment_names_[i], ".", entry.name);
}

size_t ModelState::size_bytes() const {
  return (parameters_.size() * (1 + moment_names_.size()) + states_.size() + ema_.size()) * sizeof(float);
}

void ModelState::AppendMoments(std::vector<NamedBuffer>* out) const {
  for (size_t i = 0; i < moment_names_.size(); ++i) {
    for (const auto& entry : layout_->entries) {
      float* const data = sharded_ ? nullptr : moments_[i].data() + entry.offset;
      out->push_back({MomentName(static_cast<int>(i), entry), DType::kF32, entry.shape, data});
    }
  }
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
