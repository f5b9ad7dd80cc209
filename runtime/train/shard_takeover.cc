#include "runtime/train/shard_takeover.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "comm/bootstrap.h"
#include "runtime/train/agreement.h"

namespace lockstep::train {
namespace {

// A shard by its place in a plan, as ranks tell each other.
struct Place {
  int ranks = 0;  // 0: none
  int rank = 0;
  int mirrored = 0;

  ElementRanges Ranges(const graph::ParameterLayout& layout, const std::vector<Bucket>& buckets) const {
    return ranks == 0 ? ElementRanges() : ShardPlan(layout, buckets, ranks).Held(rank, mirrored != 0);
  }
};
struct Holding {
  Place shard, spare;
  int whole = 0;  // it has all parameters
  int state = 0;  // it has come as far as the furthest, with all that is on every rank
};

Place PlaceOf(const StateShards* shards) {
  if (shards == nullptr) return {};
  return {shards->plan().ranks(), shards->rank(), shards->mirrored() ? 1 : 0};
}

absl::StatusOr<std::vector<Holding>> ExchangeHoldings(comm::Communicator& communicator, const Holding& own) {
  const std::string text =
      absl::StrCat(own.shard.ranks, " ", own.shard.rank, " ", own.shard.mirrored, " ", own.spare.ranks, " ",
                   own.spare.rank, " ", own.spare.mirrored, " ", own.whole, " ", own.state);
  ASSIGN_OR_RETURN(const auto texts, comm::AllGatherText(communicator, text));
  std::vector<Holding> all(texts.size());
  for (size_t rank = 0; rank < texts.size(); ++rank) {
    Holding& one = all[rank];
    const int read = std::sscanf(texts[rank].c_str(), "%d %d %d %d %d %d %d %d", &one.shard.ranks,
                                 &one.shard.rank, &one.shard.mirrored, &one.spare.ranks, &one.spare.rank,
                                 &one.spare.mirrored, &one.whole, &one.state);
    const auto sound = [](const Place& place) {
      return place.ranks == 0 || (place.ranks > 0 && place.rank >= 0 && place.rank < place.ranks);
    };
    if (read == 8 && sound(one.shard) && sound(one.spare)) continue;
    return absl::InternalError(absl::StrCat("rank ", rank, " says what it holds in a way unknown here"));
  }
  return all;
}

// Both lists as one.
ElementRanges Merged(ElementRanges a, const ElementRanges& b) {
  a.insert(a.end(), b.begin(), b.end());
  std::sort(a.begin(), a.end(), [](auto& x, auto& y) { return x.begin < y.begin; });
  ElementRanges merged;
  for (const ElementRange& range : a) {
    if (merged.empty() || range.begin > merged.back().end) {
      merged.push_back(range);
    } else {
      merged.back().end = std::max(merged.back().end, range.end);
    }
  }
  return merged;
}

// Copies `range` out of the buffer that holds it, piece by piece from one or the other: a range that both together
// cover may begin in one and end in the other.
void ReadHeld(const ShardHoldings& holdings, int moment, ElementRange range, float* to) {
  const HeldRanges spare = holdings.spare != nullptr ? holdings.spare->OfThisRank().held : HeldRanges();
  const auto take = [&](const HeldRanges& held, const float* data) {
    for (const ElementRange& piece : held.ranges()) {
      if (piece.begin > range.begin || piece.end <= range.begin) continue;
      const int64_t count = std::min(piece.end, range.end) - range.begin;
      std::copy_n(data + held.PlaceOf(range.begin), count, to);
      range.begin += count;
      to += count;
    }
  };
  while (range.size() > 0) {
    const int64_t before = range.begin;
    if (holdings.shards != nullptr) take(holdings.state->held(), holdings.state->moment(moment).data());
    if (holdings.spare != nullptr) take(spare, holdings.spare_moments[moment].data());
    if (range.begin == before) return;  // not held; never asked for
  }
}

// Brings a rank that is one step behind to where the furthest is, with the gradient that it kept.
bool RollForward(const ShardSetting& setting, Optimizer* optimizer, LaneTeam& team, const RunPoint& furthest,
                 ShardHoldings* holdings) {
  StateShards* const shards = holdings->shards.get();
  if (shards == nullptr || optimizer == nullptr || shards->kept_step() != furthest.counters.step)
    return false;
  if (!furthest.updated) return true;
  optimizer->Update(team, shards->kept_gradient(), furthest.update, *holdings->state);
  holdings->state->AddStateDeltas(shards->kept_deltas(), setting.micro_batches);
  shards->SetParametersWhole(false);
  return true;
}

absl::Status SendParameters(comm::Communicator& communicator, const std::vector<ElementRanges>& holds,
                            const std::vector<ElementRanges>& needs, const ElementRanges& windows,
                            const ModelState& state) {
  const absl::Span<float> parameters = state.parameters();
  return MoveRanges(
      communicator, holds, needs, windows,
      [&](ElementRange range, float* to) { std::copy_n(parameters.data() + range.begin, range.size(), to); },
      [&](ElementRange range, const float* from) {
        std::copy_n(from, range.size(), parameters.data() + range.begin);
      });
}

}  // namespace

absl::Status DealAnew(comm::Communicator& communicator, const ShardSetting& setting,
                      absl::Span<const ElementRanges> holds, int ranks, int64_t step,
                      ShardHoldings* holdings) {
  ModelState& state = *holdings->state;
  const ShardPlan plan(state.layout(), setting.buckets, ranks);
  std::vector<ElementRanges> needs;
  for (int rank = 0; rank < communicator.size(); ++rank) {
    needs.push_back(rank < ranks ? plan.Held(rank, setting.mirrored) : ElementRanges());
  }
  const int rank = communicator.rank();
  const HeldRanges held(needs[rank]);
  ElementRanges windows;
  for (int bucket = 0; bucket < plan.buckets(); ++bucket) windows.push_back(plan.Whole(bucket));
  std::vector<AlignedBuffer<float>> moments;
  for (int moment = 0; moment < state.moments(); ++moment) {
    AlignedBuffer<float>& memory = moments.emplace_back(held.elements());
    RETURN_IF_ERROR(MoveRanges(
        communicator, holds, needs, windows,
        [&](ElementRange range, float* to) { ReadHeld(*holdings, moment, range, to); },
        [&](ElementRange range, const float* from) {
          std::copy_n(from, range.size(), memory.data() + held.PlaceOf(range.begin));
        }));
  }
  std::unique_ptr<StateShards> shards;
  if (rank < ranks) {
    shards = std::make_unique<StateShards>(state.layout(), setting.buckets, rank, ranks, setting.mirrored);
  }
  // Nobody lets go of the old ones before all have the new ones.
  const absl::Status all = communicator.Barrier();
  if (!all.ok()) {
    holdings->spare = std::move(shards);
    holdings->spare_moments = std::move(moments);
    holdings->spare_step = step;
    return all;
  }
  state.HoldShard(held, std::move(moments));
  holdings->shards = std::move(shards);
  holdings->spare.reset();
  holdings->spare_moments.clear();
  return absl::OkStatus();
}

absl::Status HandShardsOver(comm::Communicator& communicator, const ShardSetting& setting, int ranks,
                            int64_t step, ShardHoldings* holdings) {
  std::vector<ElementRanges> holds;
  for (int rank = 0; rank < communicator.size(); ++rank) holds.push_back(holdings->shards->HeldBy(rank));
  return DealAnew(communicator, setting, holds, ranks, step, holdings);
}

absl::StatusOr<TakeoverReport> TakeOverShards(comm::Communicator& communicator, const ShardSetting& setting,
                                              Optimizer* optimizer, LaneTeam& team, ShardHoldings* holdings,
                                              RunPoint* point, FaultPoints* faults) {
  ASSIGN_OR_RETURN(const std::vector<RunPoint> points, ExchangePoints(communicator, *point));
  ASSIGN_OR_RETURN(TakeoverReport report, ComparePoints(points));
  if (report.diverged) {
    AdoptDivergence(points, point);
    return report;
  }
  const RunPoint& furthest = points[report.source];
  const int64_t step = furthest.counters.step;
  ModelState& state = *holdings->state;
  bool has_state = point->stage != Stage::kNothing;
  if (has_state && point->counters.step != step) {
    has_state = RollForward(setting, optimizer, team, furthest, holdings);
    if (has_state) AdoptPoint(furthest, point);
  }

  Holding own;
  if (has_state) own.shard = PlaceOf(holdings->shards.get());
  if (holdings->spare_step == step) own.spare = PlaceOf(holdings->spare.get());
  own.state = has_state ? 1 : 0;
  own.whole = has_state && (holdings->shards == nullptr || holdings->shards->parameters_whole()) ? 1 : 0;
  ASSIGN_OR_RETURN(const std::vector<Holding> holdings_of_all, ExchangeHoldings(communicator, own));
  const ShardPlan plan(state.layout(), setting.buckets, communicator.size());
  ElementRanges windows;
  for (int bucket = 0; bucket < plan.buckets(); ++bucket) windows.push_back(plan.Whole(bucket));
  std::vector<ElementRanges> moments, parameters, needs;
  for (const Holding& one : holdings_of_all) {
    const ElementRanges shard = one.shard.Ranges(state.layout(), setting.buckets);
    moments.push_back(Merged(shard, one.spare.Ranges(state.layout(), setting.buckets)));
    parameters.push_back(one.whole != 0 ? windows : shard);
    needs.push_back(one.whole != 0 ? ElementRanges() : windows);
  }
  const std::vector<ElementRanges> everything(holdings_of_all.size(), windows);
  report.lost = (state.moments() > 0 && !PlanTransfers(moments, everything).missing.empty()) ||
                !PlanTransfers(parameters, needs).missing.empty();
  if (report.lost) {
    AdoptPoint(furthest, point);
    point->stage = Stage::kNothing;
    point->diverged = point->lost = true;
    return report;
  }

  RETURN_IF_ERROR(ReachFault(faults, "recovery.transfer"));
  RETURN_IF_ERROR(SendParameters(communicator, parameters, needs, windows, state));
  if (has_state && own.whole == 0) {
    if (optimizer != nullptr) optimizer->UpdateAverages(team, state);
    holdings->shards->SetParametersWhole(true);
  }
  // For those who begin with nothing. The others have these bits already.
  if (std::any_of(holdings_of_all.begin(), holdings_of_all.end(), [](auto& one) { return one.state == 0; })) {
    RETURN_IF_ERROR(BroadcastTensors(communicator, state.StatesAndAverage(), report.source));
  }
  RETURN_IF_ERROR(DealAnew(communicator, setting, moments, communicator.size(), step, holdings));
  AdoptPoint(furthest, point);
  return report;
}

}  // namespace lockstep::train
