#include "runtime/train/compression/top_k.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/optimizer.h"
#include "runtime/train/compression/largest.h"

namespace lockstep::train {

absl::StatusOr<std::unique_ptr<TopK>> TopK::Create(const graph::ParameterLayout& layout,
                                                   int64_t tail_elements, double ratio,
                                                   comm::Communicator& communicator) {
  GradientParts parts = SplitGradient(layout, tail_elements, [](int64_t, int64_t) { return true; });
  for (const GradientMatrix& matrix : parts.matrices) {
    if (matrix.elements() <= std::numeric_limits<uint32_t>::max()) continue;
    return ConfigError(absl::StrCat("compression.top_k: '", matrix.name, "' has ", matrix.elements(),
                                    " elements, more than an index of 32 bits can name; use power_sgd"));
  }
  auto made = std::unique_ptr<TopK>(new TopK(std::move(parts), ratio, communicator.size()));
  const size_t message_bytes = 2 * made->picked_ * sizeof(float);
  ASSIGN_OR_RETURN(made->sent_, communicator.AllocatePeerBuffer(message_bytes));
  ASSIGN_OR_RETURN(made->gathered_, communicator.AllocatePeerBuffer(message_bytes * communicator.size()));
  ASSIGN_OR_RETURN(made->whole_,
                   communicator.AllocatePeerBuffer(made->parts_.whole_elements * sizeof(float)));
  return made;
}

TopK::TopK(GradientParts parts, double ratio, int world_size)
    : Compressor(std::move(parts)), ratio_(ratio), world_size_(world_size) {
  for (const GradientMatrix& matrix : parts_.matrices) {
    const auto wanted = static_cast<int64_t>(std::ceil(ratio * static_cast<double>(matrix.elements())));
    const int64_t count = std::clamp<int64_t>(wanted, 1, matrix.elements());
    picks_.push_back({picked_, picked_ + count});
    picked_ += count;
  }
}

absl::Status TopK::Reduce(comm::Communicator& communicator, LaneTeam& team, float* gradient) {
  ForEachItem(team, picks_.size(), [&](size_t i) { Pick(i, gradient); });
  const absl::Span<float> whole = whole_.as<float>();
  CopyWhole(parts_, gradient, whole.data());
  const comm::Buffer buffer = comm::BufferOf(whole);
  RETURN_IF_ERROR(communicator.AllReduce(buffer, buffer, comm::ReduceOp::kSum));
  RestoreWhole(parts_, whole.data(), gradient);
  RETURN_IF_ERROR(
      communicator.AllGather(comm::BufferOf(sent_.as<uint32_t>()), comm::BufferOf(gathered_.as<uint32_t>())));
  RETURN_IF_ERROR(CheckGathered());
  // What is not finite is among a rank's largest, so everyone sees it.
  const absl::Span<const float> gradients = whole.first(whole.size() - parts_.tail_elements);
  if (kernels::FindNonFinite(gradients) >= 0 || !GatheredFinite()) {
    SpoilGradient(gradient);
    return absl::OkStatus();
  }
  ForEachItem(team, picks_.size(), [&](size_t i) { Spread(i, communicator.rank(), gradient); });
  return absl::OkStatus();
}

// M = g + e, in the gradient's place, and this rank's message from it.
void TopK::Pick(size_t number, float* gradient) {
  const GradientMatrix& matrix = parts_.matrices[number];
  const absl::Span<float> m(gradient + matrix.offset, matrix.elements());
  kernels::AddInto(absl::MakeConstSpan(memory_of(matrix), m.size()), m);
  const Picks& picks = picks_[number];
  const absl::Span<uint32_t> indices = sent_.as<uint32_t>().subspan(picked_ + picks.begin, picks.size());
  FindLargest(m, indices);
  float* const values = sent_.as<float>().data() + picks.begin;
  for (size_t i = 0; i < indices.size(); ++i) values[i] = m[indices[i]];
}

absl::Status TopK::CheckGathered() const {
  for (int rank = 0; rank < world_size_; ++rank) {
    for (size_t number = 0; number < picks_.size(); ++number) {
      const GradientMatrix& matrix = parts_.matrices[number];
      for (const uint32_t index : indices_of(rank).subspan(picks_[number].begin, picks_[number].size())) {
        if (index < matrix.elements()) continue;
        return PeerError(absl::StrCat("top-k: rank ", rank, " sent element ", index, " of '", matrix.name,
                                      "', which has ", matrix.elements()));
      }
    }
  }
  return absl::OkStatus();
}

bool TopK::GatheredFinite() const {
  for (int rank = 0; rank < world_size_; ++rank) {
    if (kernels::FindNonFinite(values_of(rank)) >= 0) return false;
  }
  return true;
}

// e = M without what was sent, and the gradient the sum of what all sent.
void TopK::Spread(size_t number, int own_rank, float* gradient) const {
  const GradientMatrix& matrix = parts_.matrices[number];
  const Picks& picks = picks_[number];
  float* const m = gradient + matrix.offset;
  float* const memory = memory_of(matrix);
  std::copy_n(m, matrix.elements(), memory);
  for (const uint32_t index : indices_of(own_rank).subspan(picks.begin, picks.size())) memory[index] = 0;
  std::fill_n(m, matrix.elements(), 0.0f);
  for (int rank = 0; rank < world_size_; ++rank) {
    const auto values = values_of(rank).subspan(picks.begin, picks.size());
    const auto indices = indices_of(rank).subspan(picks.begin, picks.size());
    for (size_t i = 0; i < values.size(); ++i) m[indices[i]] += values[i];
  }
}

std::string TopK::Describe() const {
  return absl::StrFormat(
      "top-k of ratio %g: %d of %d elements of %d matrices from each rank, %d other ranges (%d elements) "
      "whole",
      ratio_, picked_, parts_.matrix_elements, picks_.size(), parts_.whole.size(), parts_.whole_elements);
}

}  // namespace lockstep::train
