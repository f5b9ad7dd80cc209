// Pieces of arrays between ranks as threads, and updates by shards against updates of the whole.
#include "runtime/train/shard_transfer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/run_ranks.h"
#include "tests/train/sample_shards.h"

namespace lockstep::train {
namespace {

// Shards of every world, one after the other in this process: norm, parameters and moments are the whole's.
TEST(OptimizerShards, GiveTheBitsOfTheWhole) {
  const auto layout = SampleLayout();
  const OptimizerConfig config = SampleAdamW();
  const EmaConfig ema = SampleEma();
  ModelState whole(layout, {}, MomentNames(config), /*ema=*/true);
  whole.Initialize(5);
  Optimizer optimizer(config, &ema, *layout);
  LaneTeam team(2);
  for (int ranks : {1, 2, 3, 5, 8}) {
    for (bool mirrored : {false, true}) {
      SCOPED_TRACE(absl::StrCat(ranks, " ranks", mirrored ? ", mirrored" : ""));
      whole.Initialize(5);
      std::vector<std::unique_ptr<ModelState>> states;
      std::vector<std::unique_ptr<Optimizer>> optimizers;
      std::vector<StateShards> shards;
      for (int rank = 0; rank < ranks; ++rank) {
        shards.emplace_back(*layout, SampleBuckets(*layout), rank, ranks, mirrored);
        const OptimizerShard shard = shards[rank].OfThisRank();
        states.push_back(
            std::make_unique<ModelState>(layout, graph::StateLayout(), MomentNames(config), true));
        states.back()->HoldShard(shard.held);
        states.back()->Initialize(5);
        optimizers.push_back(std::make_unique<Optimizer>(config, &ema, *layout, &shard));
      }
      for (int step = 0; step < 3; ++step) {
        const AlignedBuffer<float> gradient = SampleGradient(*layout, step);
        const double norm = optimizer.Norm(team, gradient.data(), 0.5);
        std::vector<double> sums;
        for (auto& one : optimizers) {
          const auto own = one->SumSquares(team, gradient.data());
          sums.resize(own.size());
          for (size_t i = 0; i < own.size(); ++i) sums[i] += own[i];
        }
        const StepUpdate update = {0.25, 0.01, step};
        optimizer.Update(team, gradient.data(), update, whole);
        for (int rank = 0; rank < ranks; ++rank) {
          EXPECT_EQ(optimizers[rank]->NormOf(sums, 0.5), norm);
          for (int bucket = 0; bucket < shards[rank].plan().buckets(); ++bucket) {
            optimizers[rank]->UpdateRange(team, gradient.data(), update, shards[rank].plan().Whole(bucket),
                                          *states[rank]);
          }
          for (const ElementRange& range : shards[rank].HeldBy(rank)) {
            const auto flat = whole.parameters().subspan(range.begin, range.size());
            EXPECT_TRUE(SameBits(states[rank]->parameters().subspan(range.begin, range.size()), flat));
            for (int moment = 0; moment < 2; ++moment) {
              const size_t place = static_cast<size_t>(states[rank]->held().PlaceOf(range.begin));
              EXPECT_TRUE(SameBits(states[rank]->moment(moment).subspan(place, range.size()),
                                   whole.moment(moment).subspan(range.begin, range.size())));
            }
          }
        }
        for (auto& state : states) {  // the all-gather
          std::copy(whole.parameters().begin(), whole.parameters().end(), state->parameters().begin());
          optimizers[0]->UpdateAverages(team, *state);
          EXPECT_TRUE(SameBits(state->ema(), whole.ema()));
        }
      }
    }
  }
}

TEST(MoveRanges, BringsEveryoneWhatItNeeds) {
  const auto layout = SampleLayout();
  const ShardPlan before(*layout, SampleBuckets(*layout), 4);
  const auto elements = static_cast<int64_t>(layout->total_elements);
  const testing::RunRanksOptions options{.size = 4, .what = "move"};
  const absl::Status status = testing::RunRanks(options, [&](comm::Communicator& comm) -> absl::Status {
    std::vector<ElementRanges> holds, needs;
    for (int rank = 0; rank < 4; ++rank) {
      holds.push_back(before.Owned(rank));
      needs.push_back(rank == 1   ? ElementRanges{{0, elements}}
                      : rank == 2 ? ElementRanges()
                                  : ElementRanges{{16, 17000}, {elements - 5, elements}});
    }
    ElementRanges windows;
    for (int bucket = 0; bucket < before.buckets(); ++bucket) windows.push_back(before.Whole(bucket));
    std::vector<float> got(elements, -1);
    RETURN_IF_ERROR(MoveRanges(
        comm, holds, needs, windows,
        [&](ElementRange range, float* to) {
          for (int64_t i = range.begin; i < range.end; ++i) *to++ = static_cast<float>(i);
        },
        [&](ElementRange range, const float* from) {
          for (int64_t i = range.begin; i < range.end; ++i) got[i] = *from++;
        }));
    for (int64_t i = 0; i < elements; ++i) {
      const bool needed = std::any_of(needs[comm.rank()].begin(), needs[comm.rank()].end(),
                                      [&](auto& range) { return range.begin <= i && i < range.end; });
      if (got[i] != (needed ? static_cast<float>(i) : -1.0f)) {
        return absl::InternalError(absl::StrCat("element ", i, " is ", got[i]));
      }
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(MoveRanges, SaysWhatNobodyHolds) {
  const testing::RunRanksOptions options{.size = 2, .what = "missing"};
  const absl::Status status = testing::RunRanks(options, [&](comm::Communicator& comm) -> absl::Status {
    const std::vector<ElementRanges> holds = {{{0, 5}}, {}}, needs = {{}, {{0, 10}}};
    const ElementRanges windows = {{0, 10}};
    return MoveRanges(
        comm, holds, needs, windows, [](ElementRange, float*) {}, [](ElementRange, const float*) {});
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
}

}  // namespace
}  // namespace lockstep::train
