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
                     const graph::ParameterLayout& layout)
    : config_(config), has_ema_(ema != nullptr), ema_decay_(ema != nullptr ? ema->decay() : 0) {
  const std::string& no_decay = config.has_sgd() ? config.sgd().no_decay() : config.adamw().no_decay();
  size_t sums = 0;
  for (const auto& entry : layout.entries) {
    const bool decay = no_decay.empty() || !MatchesPattern(entry.name, no_decay);
    for (size_t begin = 0; begin < entry.elements; begin += kChunkElements) {
      const size_t elements = std::min(kChunkElements, entry.elements - begin);
      chunks_.push_back({entry.offset + begin, elements, sums, decay});
      sums += (elements + kernels::kNormChunk - 1) / kernels::kNormChunk;
    }
    sums_end_.push_back(sums);
  }
  norm_sums_.resize(sums);
}

double Optimizer::Norm(LaneTeam& team, const float* gradient, double scale) {
  chunk_checksums_.resize(keep_checksum_ ? chunks_.size() : 0);
  ForEach(team, chunks_, [&](const Chunk& chunk) {
    const size_t sums = (chunk.elements + kernels::kNormChunk - 1) / kernels::kNormChunk;
    kernels::ChunkSumsOfSquares({gradient + chunk.offset, chunk.elements},
                                absl::MakeSpan(norm_sums_).subspan(chunk.first_sum, sums));
    if (keep_checksum_)
      chunk_checksums_[&chunk - chunks_.data()] = PieceChecksum({gradient + chunk.offset, chunk.elements});
  });
  checksum_ = 0;
  for (const uint32_t checksum : chunk_checksums_) checksum_ = MixHash(checksum_, checksum);
  parameter_sums_.clear();
  size_t begin = 0;
  for (const size_t end : sums_end_) {
    parameter_sums_.push_back(kernels::TreeSum(absl::MakeSpan(norm_sums_).subspan(begin, end - begin)));
    begin = end;
  }
  std::vector<double> sums = parameter_sums_;
  return std::sqrt(kernels::TreeSum(absl::MakeSpan(sums))) * scale;
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

void Optimizer::Update(LaneTeam& team, const float* gradient, double gradient_scale, double lr,
                       int64_t updates, ModelState& state) {
  ForEach(team, chunks_,
          [&](const Chunk& chunk) { UpdateChunk(chunk, gradient, gradient_scale, lr, updates, state); });
}

void Optimizer::UpdateChunk(const Chunk& chunk, const float* gradient, double scale, double lr,
                            int64_t updates, ModelState& state) const {
  const absl::Span<const float> g(gradient + chunk.offset, chunk.elements);
  const auto piece = [&](absl::Span<float> flat) { return flat.subspan(chunk.offset, chunk.elements); };
  const absl::Span<float> parameter = piece(state.parameters());
  if (config_.has_sgd()) {
    const SgdConfig& sgd = config_.sgd();
    kernels::SgdStep step;
    step.learning_rate = lr;
    step.momentum = sgd.momentum();
    step.nesterov = sgd.nesterov();
    step.weight_decay = chunk.decay ? sgd.weight_decay() : 0;
    step.gradient_scale = scale;
    step.step = updates + 1;
    kernels::Sgd(step, g, parameter, sgd.momentum() != 0 ? piece(state.moment(0)) : absl::Span<float>());
  } else {
    const AdamwConfig& adamw = config_.adamw();
    kernels::AdamWStep step;
    step.learning_rate = lr;
    step.beta1 = adamw.beta1();
    step.beta2 = adamw.beta2();
    step.epsilon = adamw.epsilon();
    step.weight_decay = chunk.decay ? adamw.weight_decay() : 0;
    step.gradient_scale = scale;
    step.step = updates + 1;
    kernels::AdamW(step, g, parameter, piece(state.moment(0)), piece(state.moment(1)));
  }
  if (has_ema_) kernels::UpdateAverage(ema_decay_, parameter, piece(state.ema()));
}

double Optimizer::base_lr() const { return config_.has_sgd() ? config_.sgd().lr() : config_.adamw().lr(); }

}  // namespace lockstep::train
