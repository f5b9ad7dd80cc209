// Survivors of a world whose optimizer was sharded, wherever each of them stood, against the whole.
#include "runtime/train/shard_takeover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/run_ranks.h"
#include "tests/train/sample_shards.h"

namespace lockstep::train {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr int kMicroBatches = 4;

// The whole after each step.
class Reference {
 public:
  explicit Reference(int steps) {
    const auto layout = SampleLayout();
    const EmaConfig ema = SampleEma();
    Optimizer optimizer(SampleAdamW(), &ema, *layout);
    LaneTeam team(1);
    for (int step = 0; step <= steps; ++step) {
      auto state = SampleState();
      state->Initialize(5);
      for (int done = 1; done <= step; ++done) {
        const AlignedBuffer<float> gradient = SampleGradient(*layout, done);
        optimizer.Update(team, gradient.data(), SampleUpdate(done), *state);
        state->AddStateDeltas(SampleDeltas(done).data(), kMicroBatches);
      }
      states_.push_back(std::move(state));
    }
  }
  const ModelState& After(int64_t step) const { return *states_[step]; }

 private:
  std::vector<std::unique_ptr<ModelState>> states_;
};

// Where a rank of the old world stood when it ended.
enum class Stood {
  kBefore,    // it had not voted on the step
  kVoted,     // its vote failed: it keeps its gradient
  kUpdated,   // it has updated its shard, and has not got the others' parameters
  kComplete,  // it has everything
  kNew        // a newcomer
};

struct Rank {
  std::unique_ptr<ModelState> state = SampleState();
  std::unique_ptr<Optimizer> optimizer;
  ShardHoldings holdings;
  RunPoint point;
};

ShardSetting SettingOf(const ModelState& state, bool mirrored) {
  return {SampleBuckets(state.layout()), mirrored, kMicroBatches};
}

void MakeOptimizer(Rank* rank) {
  const EmaConfig ema = SampleEma();
  const OptimizerShard shard = rank->holdings.shards->OfThisRank();
  rank->optimizer = std::make_unique<Optimizer>(SampleAdamW(), &ema, rank->state->layout(), &shard);
}

void CopyAll(absl::Span<const float> from, absl::Span<float> to) {
  std::copy(from.begin(), from.end(), to.begin());
}

// A rank of a world of `ranks` after `step` steps, and then as it stood in the next.
std::unique_ptr<Rank> RankThat(Stood stood, const Reference& truth, int64_t step, int rank, int ranks,
                               bool mirrored) {
  auto made = std::make_unique<Rank>();
  ModelState& state = *made->state;
  made->holdings.state = &state;
  state.Initialize(99);  // which nobody must ever see
  state.HoldShard(HeldRanges());
  if (stood == Stood::kNew) return made;
  made->holdings.shards = std::make_unique<StateShards>(state.layout(), SettingOf(state, mirrored).buckets,
                                                        rank, ranks, mirrored);
  MakeOptimizer(made.get());
  StateShards& shards = *made->holdings.shards;
  const ModelState& now = truth.After(step);
  CopyAll(now.parameters(), state.parameters());
  CopyAll(now.states(), state.states());
  CopyAll(now.ema(), state.ema());
  state.HoldShard(shards.OfThisRank().held);
  for (const ElementRange& range : shards.HeldBy(rank)) {
    for (int moment = 0; moment < state.moments(); ++moment) {
      CopyAll(now.moment(moment).subspan(range.begin, range.size()),
              state.moment(moment).subspan(state.held().PlaceOf(range.begin), range.size()));
    }
  }
  made->point.stage = Stage::kSaved;
  made->point.counters.step = step;
  if (stood == Stood::kBefore) return made;
  const AlignedBuffer<float> gradient = SampleGradient(state.layout(), step + 1);
  const std::vector<float> deltas = SampleDeltas(step + 1);
  if (stood == Stood::kVoted) {
    shards.Keep(step + 1, gradient.data(), deltas.data(), deltas.size());
    return made;
  }
  LaneTeam team(1);
  made->optimizer->Update(team, gradient.data(), SampleUpdate(step + 1), state);
  state.AddStateDeltas(deltas.data(), kMicroBatches);
  shards.SetParametersWhole(false);
  made->point.stage = Stage::kCommitted;
  made->point.counters.step = step + 1;
  made->point.updated = true;
  made->point.update = SampleUpdate(step + 1);
  if (stood == Stood::kUpdated) return made;
  CopyAll(truth.After(step + 1).parameters(), state.parameters());
  made->optimizer->UpdateAverages(team, state);
  shards.SetParametersWhole(true);
  return made;
}

std::string WhatDiffers(const ModelState& state, const StateShards& shards, const ModelState& truth) {
  if (!SameBits(state.parameters(), truth.parameters())) return "parameters";
  if (!SameBits(state.states(), truth.states())) return "states";
  if (!SameBits(state.ema(), truth.ema())) return "moving average";
  for (const ElementRange& range : shards.HeldBy(shards.rank())) {
    for (int moment = 0; moment < state.moments(); ++moment) {
      if (!SameBits(state.moment(moment).subspan(state.held().PlaceOf(range.begin), range.size()),
                    truth.moment(moment).subspan(range.begin, range.size()))) {
        return absl::StrCat("moment ", moment, " from ", range.begin);
      }
    }
  }
  return "";
}

struct Survivor {
  int rank = 0;  // in the old world
  Stood stood = Stood::kComplete;
};
struct Change {
  int ranks = 3;  // of the old world
  bool mirrored = true;
  std::vector<Survivor> survivors = {};
  int64_t expected = 3;  // step that all are at afterwards; -1: the shards are lost
};

void Expect(const Change& change) {
  const Reference truth(3);
  const testing::RunRanksOptions options{.size = static_cast<int>(change.survivors.size()), .what = "shards"};
  const absl::Status status = testing::RunRanks(options, [&](comm::Communicator& comm) -> absl::Status {
    const Survivor& who = change.survivors[comm.rank()];
    const auto rank = RankThat(who.stood, truth, 2, who.rank, change.ranks, change.mirrored);
    LaneTeam team(1);
    ASSIGN_OR_RETURN(const TakeoverReport report,
                     TakeOverShards(comm, SettingOf(*rank->state, change.mirrored), rank->optimizer.get(),
                                    team, &rank->holdings, &rank->point, nullptr));
    if (report.lost != (change.expected < 0)) return absl::InternalError(absl::StrCat("lost: ", report.lost));
    if (report.lost) {
      const bool said = rank->point.lost && rank->point.diverged && rank->point.stage == Stage::kNothing;
      return said ? absl::OkStatus() : absl::InternalError("the point does not say so");
    }
    if (rank->point.counters.step != change.expected) {
      return absl::InternalError(absl::StrCat("at step ", rank->point.counters.step));
    }
    const StateShards& shards = *rank->holdings.shards;
    if (shards.plan().ranks() != comm.size() || shards.rank() != comm.rank() || !shards.parameters_whole()) {
      return absl::InternalError("the shards are not of this world");
    }
    const std::string differs = WhatDiffers(*rank->state, shards, truth.After(change.expected));
    return differs.empty() ? absl::OkStatus() : absl::InternalError(differs + " differ");
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(TakeOverShards, OneDeathWhereverTheOthersStood) {
  const std::vector<Stood> places = {Stood::kVoted, Stood::kUpdated, Stood::kComplete};
  for (int dead = 0; dead < 3; ++dead) {
    for (const Stood first : places) {
      for (const Stood second : places) {
        SCOPED_TRACE(
            absl::StrCat("rank ", dead, " died; ", static_cast<int>(first), static_cast<int>(second)));
        const bool nobody = first == Stood::kVoted && second == Stood::kVoted;
        Expect({.survivors = {{dead == 0 ? 1 : 0, first}, {dead == 2 ? 1 : 2, second}},
                .expected = nobody ? 2 : 3});
      }
    }
  }
}

TEST(TakeOverShards, NobodyHadVoted) {
  Expect({.survivors = {{0, Stood::kBefore}, {2, Stood::kVoted}}, .expected = 2});
  Expect({.ranks = 2, .survivors = {{1, Stood::kBefore}}, .expected = 2});
}

TEST(TakeOverShards, DownToOneRankAndUpToMany) {
  Expect({.ranks = 2, .survivors = {{1, Stood::kUpdated}}});
  Expect({.ranks = 2, .survivors = {{0, Stood::kVoted}, {1, Stood::kUpdated}}});
  Expect({.ranks = 1, .survivors = {{0, Stood::kComplete}, {0, Stood::kNew}, {0, Stood::kNew}}});
  Expect({.survivors = {{0, Stood::kVoted}, {0, Stood::kNew}, {1, Stood::kUpdated}, {0, Stood::kNew}}});
  Expect(
      {.mirrored = false,
       .survivors = {{0, Stood::kComplete}, {1, Stood::kComplete}, {2, Stood::kComplete}, {0, Stood::kNew}}});
}

TEST(TakeOverShards, WhatNobodyHoldsIsLost) {
  Expect({.survivors = {{2, Stood::kComplete}}, .expected = -1});
  Expect({.ranks = 4, .survivors = {{2, Stood::kComplete}, {3, Stood::kVoted}}, .expected = -1});
  Expect({.ranks = 4, .survivors = {{1, Stood::kComplete}, {3, Stood::kVoted}}});
  Expect({.mirrored = false, .survivors = {{0, Stood::kComplete}, {1, Stood::kComplete}}, .expected = -1});
  Expect({.mirrored = false,
          .survivors = {{0, Stood::kComplete}, {1, Stood::kComplete}, {0, Stood::kNew}},
          .expected = -1});
}

// A change that failed at its very end: one rank has let go of the old shards, the other has both, the third died.
TEST(TakeOverShards, AfterAChangeThatFailedAtItsEnd) {
  const Reference truth(3);
  for (const bool mirrored : {true, false}) {
    const testing::RunRanksOptions options{.size = 2, .what = "spare"};
    const absl::Status status = testing::RunRanks(options, [&](comm::Communicator& comm) -> absl::Status {
      // The old world had 3 ranks (its rank 2 went on purpose), the new one 2; this rank 1 heard of no success.
      const auto rank = RankThat(Stood::kComplete, truth, 2, comm.rank(), comm.rank() == 0 ? 2 : 3, mirrored);
      if (comm.rank() == 1) {
        const auto other = RankThat(Stood::kComplete, truth, 2, 1, 2, mirrored);
        rank->holdings.spare = std::move(other->holdings.shards);
        for (int moment = 0; moment < 2; ++moment) {
          const absl::Span<float> values = other->state->moment(moment);
          CopyAll(values, rank->holdings.spare_moments.emplace_back(values.size()).span());
        }
        rank->holdings.spare_step = 3;
      }
      LaneTeam team(1);
      ASSIGN_OR_RETURN(const TakeoverReport report,
                       TakeOverShards(comm, SettingOf(*rank->state, mirrored), rank->optimizer.get(), team,
                                      &rank->holdings, &rank->point, nullptr));
      if (report.lost) return absl::InternalError("lost");
      if (rank->holdings.spare != nullptr) return absl::InternalError("the spare shard stayed");
      const std::string differs = WhatDiffers(*rank->state, *rank->holdings.shards, truth.After(3));
      return differs.empty() ? absl::OkStatus() : absl::InternalError(differs + " differ");
    });
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(HandShardsOver, LeavesNothingWithThoseWhoGo) {
  const Reference truth(3);
  const testing::RunRanksOptions options{.size = 4, .what = "hand over"};
  const absl::Status status = testing::RunRanks(options, [&](comm::Communicator& comm) -> absl::Status {
    const auto rank = RankThat(Stood::kComplete, truth, 2, comm.rank(), 4, /*mirrored=*/false);
    RETURN_IF_ERROR(HandShardsOver(comm, SettingOf(*rank->state, false), 2, 3, &rank->holdings));
    if (comm.rank() >= 2) {
      const bool nothing = rank->holdings.shards == nullptr && rank->state->held().elements() == 0;
      return nothing ? absl::OkStatus() : absl::InternalError("it still has some");
    }
    if (rank->holdings.shards->plan().ranks() != 2) return absl::InternalError("another plan");
    const std::string differs = WhatDiffers(*rank->state, *rank->holdings.shards, truth.After(3));
    return differs.empty() ? absl::OkStatus() : absl::InternalError(differs + " differ");
  });
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace lockstep::train
