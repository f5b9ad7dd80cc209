#include "runtime/train/state_shards.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "runtime/train/checkpoint_parts.h"

namespace lockstep::train {

void StateShards::Keep(int64_t step, const float* gradient, const float* deltas, size_t delta_elements) {
  const ElementRanges held = HeldBy(rank_);
  kept_gradient_ = AlignedBuffer<float>(held.empty() ? 0 : static_cast<size_t>(held.back().end));
  for (const ElementRange& range : held) {
    std::copy(gradient + range.begin, gradient + range.end, kept_gradient_.data() + range.begin);
  }
  kept_deltas_ = AlignedBuffer<float>(delta_elements);
  std::copy_n(deltas, delta_elements, kept_deltas_.data());
  kept_step_ = step;
}

absl::Status CollectMoment(comm::Communicator& communicator, const StateShards& shards,
                           const ModelState& state, int moment, absl::Span<const ElementRanges> needs,
                           const WriteRange& write) {
  std::vector<ElementRanges> holds;
  for (int rank = 0; rank < shards.plan().ranks(); ++rank) holds.push_back(shards.plan().Owned(rank));
  const ReadRange read = [&](ElementRange range, float* to) {
    std::copy_n(state.moment(moment).data() + state.held().PlaceOf(range.begin), range.size(), to);
  };
  return MoveRanges(communicator, holds, needs, shards.Windows(), read, write);
}

std::vector<std::vector<ElementRanges>> MomentsOfWriters(const ModelState& state, const TrainTensors& tensors,
                                                         int shards, int ranks) {
  std::vector<std::vector<ElementRanges>> needs(state.moments(), std::vector<ElementRanges>(ranks));
  std::map<std::string, std::pair<int, ElementRange>> places;
  for (int i = 0; i < state.moments(); ++i) {
    for (const auto& entry : state.layout().entries) {
      const auto begin = static_cast<int64_t>(entry.offset);
      places[state.MomentName(i, entry)] = {i, {begin, begin + static_cast<int64_t>(entry.elements)}};
    }
  }
  std::vector<int> writers(shards);
  for (int rank = 0; rank < ranks; ++rank) {
    const int shard = ShardOfRank(rank, ranks, shards);
    if (shard >= 0) writers[shard] = rank;
  }
  for (const CheckpointPart& part : DivideState(tensors, shards)) {
    for (const PartTensor& entry : part.tensors) {
      const auto place = places.find(entry.tensor.name);
      if (entry.role != TensorRole::kOptimizer || place == places.end() || place->second.second.size() == 0) {
        continue;
      }
      needs[place->second.first][writers[part.shard]].push_back(place->second.second);
    }
  }
  for (auto& of_moment : needs) {
    for (ElementRanges& ranges : of_moment) {
      std::sort(ranges.begin(), ranges.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
    }
  }
  return needs;
}

}  // namespace lockstep::train
