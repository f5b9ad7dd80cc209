#include "runtime/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/optimizer.h"
#include "runtime/core/names.h"
#include "runtime/train/integrity.h"

namespace lockstep::train {
namespace {

static_assert(Optimizer::kChunkElements % kernels::kNormChunk == 0,
              "a piece of work holds whole norm chunks");

size_t NormChunks(size_t elements) { return (elements + kernels::kNormChunk - 1) / kernels::kNormChunk; }

// Members take every size-th item; which one takes which changes no bit.
template <typename Items, typename Work>
void ForEach(LaneTeam& team, const Items& items, const Work& work) {
  team.Run([&](int member) {
    for (size_t i = member; i < items.size(); i += team.size()) work(items[i]);
  });
}

}  // namespace

std::vector<std::string> MomentNames(const OptimizerConfig& config) {
  if (config.has_sgd()) {
    return config.sgd().momentum() != 0 ? std::vector<std::string>{"sgd.momentum"}
                                        : std::vector<std::string>();
  }
  return {"adamw.m", "adamw.v"};
}

Optimizer::Optimizer(const OptimizerConfig& config, const EmaConfig* ema,
                     const graph::ParameterLayout& layout, const OptimizerShard* shard)
    : config_(config),
      has_ema_(ema != nullptr),
      sharded_(shard != nullptr),
      ema_decay_(ema != nullptr ? ema->decay() : 0) {
  const std::string& no_decay = config.has_sgd() ? config.sgd().no_decay() : config.adamw().no_decay();
  size_t sums = 0;
  for (const auto& entry : layout.entries) {
    Chunk like;
    like.decay = no_decay.empty() || !MatchesPattern(entry.name, no_decay);
    const size_t entry_end = entry.offset + entry.elements;
    if (shard == nullptr) {
      like.first_sum = sums;
      AddChunks(entry.offset, entry_end, like);
    } else {
      for (const ElementRange& range : shard->held.ranges()) {
        const size_t begin = std::max(entry.offset, static_cast<size_t>(range.begin));
        const size_t end = std::min(entry_end, static_cast<size_t>(range.end));
        if (begin >= end) continue;
        like.place = static_cast<size_t>(shard->held.PlaceOf(static_cast<int64_t>(begin)));
        like.first_sum = sums + (begin - entry.offset) / kernels::kNormChunk;
        like.owned = std::binary_search(shard->owned.begin(), shard->owned.end(), range,
                                        [](auto& a, auto& b) { return a.begin < b.begin; });
        AddChunks(begin, end, like);
      }
    }
    sums += NormChunks(entry.elements);
    sums_end_.push_back(sums);
  }
  norm_sums_.resize(sums);
}

// The elements begin .. end-1 of one parameter; place and first_sum of `like` are those of the first.
void Optimizer::AddChunks(size_t begin, size_t end, const Chunk& like) {
  for (size_t at = begin; at < end; at += kChunkElements) {
    Chunk chunk = like;
    chunk.offset = at;
    chunk.elements = std::min(kChunkElements, end - at);
    chunk.place = sharded_ ? like.place + (at - begin) : at;
    chunk.first_sum = like.first_sum + (at - begin) / kernels::kNormChunk;
    chunks_.push_back(chunk);
  }
}

double Optimizer::Norm(LaneTeam& team, const float* gradient, double scale) {
  return NormOf(SumSquares(team, gradient), scale);
}

absl::Span<const double> Optimizer::SumSquares(LaneTeam& team, const float* gradient) {
  chunk_checksums_.resize(keep_checksum_ ? chunks_.size() : 0);
  ForEach(team, absl::MakeConstSpan(chunks_), [&](const Chunk& chunk) {
    if (!chunk.owned) return;
    kernels::ChunkSumsOfSquares(
        {gradient + chunk.offset, chunk.elements},
        absl::MakeSpan(norm_sums_).subspan(chunk.first_sum, NormChunks(chunk.elements)));
    if (keep_checksum_)
      chunk_checksums_[&chunk - chunks_.data()] = PieceChecksum({gradient + chunk.offset, chunk.elements});
  });
  checksum_ = 0;
  for (const uint32_t checksum : chunk_checksums_) checksum_ = MixHash(checksum_, checksum);
  return norm_sums_;
}

double Optimizer::NormOf(absl::Span<const double> sums, double scale) {
  std::vector<double> chunk_sums(sums.begin(), sums.end());  // TreeSum overwrites
  parameter_sums_.clear();
  size_t begin = 0;
  for (const size_t end : sums_end_) {
    parameter_sums_.push_back(kernels::TreeSum(absl::MakeSpan(chunk_sums).subspan(begin, end - begin)));
    begin = end;
  }
  std::vector<double> all = parameter_sums_;
  return std::sqrt(kernels::TreeSum(absl::MakeSpan(all))) * scale;
}

std::vector<int> Optimizer::NonFiniteParameters() const {
  std::vector<int> found;
  for (size_t i = 0; i < parameter_sums_.size(); ++i) {
    if (!std::isfinite(parameter_sums_[i])) found.push_back(static_cast<int>(i));
  }
  return found;
}

double Optimizer::ClipFactor(double norm) const {
  if (config_.clip_norm() <= 0) return 1;
  return std::min(1.0, static_cast<double>(config_.clip_norm()) / (norm + 1e-6));
}

void Optimizer::Update(LaneTeam& team, const float* gradient, const StepUpdate& update, ModelState& state) {
  ForEach(team, absl::MakeConstSpan(chunks_),
          [&](const Chunk& chunk) { UpdateChunk(chunk, gradient, update, state); });
}

void Optimizer::UpdateRange(LaneTeam& team, const float* gradient, const StepUpdate& update,
                            ElementRange range, ModelState& state) {
  const auto at = [&](int64_t element) {
    return std::partition_point(chunks_.begin(), chunks_.end(), [&](const Chunk& chunk) {
      return static_cast<int64_t>(chunk.offset) < element;
    });
  };
  const auto first = at(range.begin), last = at(range.end);
  ForEach(team, absl::MakeConstSpan(chunks_).subspan(first - chunks_.begin(), last - first),
          [&](const Chunk& chunk) { UpdateChunk(chunk, gradient, update, state); });
}

void Optimizer::UpdateAverages(LaneTeam& team, ModelState& state) const {
  if (!has_ema_) return;
  const size_t elements = state.parameters().size(),
               pieces = (elements + kChunkElements - 1) / kChunkElements;
  team.Run([&](int member) {
    for (size_t i = member; i < pieces; i += team.size()) {
      kernels::UpdateAverage(ema_decay_, state.parameters().subspan(i * kChunkElements, kChunkElements),
                             state.ema().subspan(i * kChunkElements, kChunkElements));
    }
  });
}

void Optimizer::UpdateChunk(const Chunk& chunk, const float* gradient, const StepUpdate& update,
                            ModelState& state) const {
  const absl::Span<const float> g(gradient + chunk.offset, chunk.elements);
  const auto moment = [&](int i) { return state.moment(i).subspan(chunk.place, chunk.elements); };
  const absl::Span<float> parameter = state.parameters().subspan(chunk.offset, chunk.elements);
  if (config_.has_sgd()) {
    const SgdConfig& sgd = config_.sgd();
    kernels::SgdStep step;
    step.learning_rate = update.lr;
    step.momentum = sgd.momentum();
    step.nesterov = sgd.nesterov();
    step.weight_decay = chunk.decay ? sgd.weight_decay() : 0;
    step.gradient_scale = update.gradient_scale;
    step.step = update.updates + 1;
    kernels::Sgd(step, g, parameter, sgd.momentum() != 0 ? moment(0) : absl::Span<float>());
  } else {
    const AdamwConfig& adamw = config_.adamw();
    kernels::AdamWStep step;
    step.learning_rate = update.lr;
    step.beta1 = adamw.beta1();
    step.beta2 = adamw.beta2();
    step.epsilon = adamw.epsilon();
    step.weight_decay = chunk.decay ? adamw.weight_decay() : 0;
    step.gradient_scale = update.gradient_scale;
    step.step = update.updates + 1;
    kernels::AdamW(step, g, parameter, moment(0), moment(1));
  }
  if (has_ema_ && !sharded_) {
    kernels::UpdateAverage(ema_decay_, parameter, state.ema().subspan(chunk.offset, chunk.elements));
  }
}

double Optimizer::base_lr() const { return config_.has_sgd() ? config_.sgd().lr() : config_.adamw().lr(); }

}  // namespace lockstep::train
