#include "runtime/train/shard_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/optimizer.h"
#include "runtime/train/shard_transfer.h"

namespace lockstep::train {
namespace {

constexpr int64_t kChunk = kernels::kNormChunk;

// Tensors of these sizes, padded to 16 elements, and their buckets of at least `bucket` elements.
struct Model {
  graph::ParameterLayout layout;
  std::vector<Bucket> buckets;
};
Model ModelOf(const std::vector<size_t>& sizes, int64_t bucket) {
  Model model;
  std::vector<int64_t> ends;
  for (const size_t size : sizes) {
    graph::ParameterLayout::Entry entry;
    entry.offset = model.layout.total_elements;
    entry.elements = size;
    model.layout.entries.push_back(entry);
    model.layout.total_elements += (size + 15) / 16 * 16;
    ends.push_back(static_cast<int64_t>(model.layout.total_elements));
  }
  model.buckets = PlanBuckets(ends, bucket, /*tail_elements=*/40);
  return model;
}

bool BeginsANormChunk(const graph::ParameterLayout& layout, int64_t at) {
  for (const auto& entry : layout.entries) {
    const int64_t inside = at - static_cast<int64_t>(entry.offset);
    if (inside >= 0 && inside < static_cast<int64_t>(entry.elements)) return inside % kChunk == 0;
  }
  return at == static_cast<int64_t>(layout.total_elements);
}

TEST(ShardPlan, EveryElementHasOneOwnerAndCutsAreWhereNormChunksBegin) {
  for (const auto& sizes : std::vector<std::vector<size_t>>{
           {1}, {10, 20, 30}, {100000, 7, 4096, 4097, 50000}, {3, 300000}, {16384, 16384, 16384}}) {
    for (const int64_t bucket : {int64_t{1}, int64_t{20000}, int64_t{1} << 30}) {
      const Model model = ModelOf(sizes, bucket);
      for (int ranks = 1; ranks <= 9; ++ranks) {
        const ShardPlan plan(model.layout, model.buckets, ranks);
        ASSERT_EQ(plan.buckets(), static_cast<int>(model.buckets.size()) - 1) << "the tail is nobody's";
        std::vector<int> owners(model.layout.total_elements);
        for (int rank = 0; rank < ranks; ++rank) {
          for (const ElementRange& range : plan.Owned(rank)) {
            EXPECT_TRUE(BeginsANormChunk(model.layout, range.begin)) << range.begin;
            for (int64_t i = range.begin; i < range.end; ++i) ++owners[i];
          }
        }
        EXPECT_EQ(std::count(owners.begin(), owners.end(), 1), model.layout.total_elements);
      }
    }
  }
}

TEST(ShardPlan, LargeBucketsAreSharedEvenly) {
  const Model model = ModelOf({1 << 20, 3 << 20, 1000}, 1 << 20);
  for (int ranks = 1; ranks <= 8; ++ranks) {
    const ShardPlan plan(model.layout, model.buckets, ranks);
    for (int rank = 0; rank < ranks; ++rank) {
      int64_t elements = 0;
      for (const ElementRange& range : plan.Owned(rank)) elements += range.size();
      EXPECT_NEAR(static_cast<double>(elements), (4 << 20) / ranks, 3 * kChunk) << rank << " of " << ranks;
    }
  }
}

TEST(ShardPlan, MirrorsHoldWhatTheRankBeforeOwns) {
  const Model model = ModelOf({100000, 50000, 9}, 60000);
  for (int ranks = 1; ranks <= 5; ++ranks) {
    const ShardPlan plan(model.layout, model.buckets, ranks);
    for (int rank = 0; rank < ranks; ++rank) {
      const ElementRanges held = plan.Held(rank, /*mirrored=*/true);
      ElementRanges both = plan.Owned(rank);
      if (ranks > 1) {
        for (const ElementRange& range : plan.Owned(MirroredBy(rank, ranks))) both.push_back(range);
        std::sort(both.begin(), both.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
      }
      EXPECT_EQ(held, both) << rank << " of " << ranks;
      EXPECT_EQ(MirroredBy(MirrorOf(rank, ranks), ranks), rank);
    }
  }
}

TEST(HeldRanges, FindsElementsInCompactBuffers) {
  const HeldRanges held({{10, 20}, {20, 25}, {100, 103}});
  EXPECT_EQ(held.elements(), 18);
  EXPECT_EQ(held.PlaceOf(10), 0);
  EXPECT_EQ(held.PlaceOf(24), 14);
  EXPECT_EQ(held.PlaceOf(102), 17);
}

// What everyone ends with, by executing a plan on ranks that hold their own number in each element.
std::vector<std::vector<int>> Executed(const TransferPlan& plan, int ranks, int64_t elements) {
  std::vector<std::vector<int>> got(ranks, std::vector<int>(elements, -1));
  for (const Transfer& transfer : plan.transfers) {
    for (int64_t i = transfer.range.begin; i < transfer.range.end; ++i) {
      EXPECT_EQ(got[transfer.to][i], -1) << "twice";
      got[transfer.to][i] = transfer.from;
    }
  }
  return got;
}

TEST(PlanTransfers, FromOneWorldToAnother) {
  const Model model = ModelOf({100000, 7, 4096, 50000}, 30000);
  const auto elements = static_cast<int64_t>(model.layout.total_elements);
  for (int before = 1; before <= 5; ++before) {
    for (int after = 1; after <= before; ++after) {
      const ShardPlan old_plan(model.layout, model.buckets, before), plan(model.layout, model.buckets, after);
      std::vector<ElementRanges> holds, needs;
      for (int rank = 0; rank < before; ++rank) {
        holds.push_back(old_plan.Held(rank, true));
        needs.push_back(rank < after ? plan.Held(rank, true) : ElementRanges());
      }
      const TransferPlan transfers = PlanTransfers(holds, needs);
      EXPECT_TRUE(transfers.missing.empty());
      const auto got = Executed(transfers, before, elements);
      const auto covers = [](const ElementRanges& ranges, int64_t at) {
        return std::any_of(ranges.begin(), ranges.end(),
                           [&](auto& r) { return r.begin <= at && at < r.end; });
      };
      for (int rank = 0; rank < before; ++rank) {
        for (int64_t i = 0; i < elements; i += 16) {
          EXPECT_EQ(got[rank][i] >= 0, covers(needs[rank], i));
          if (got[rank][i] < 0) continue;
          EXPECT_TRUE(covers(holds[got[rank][i]], i)) << "from one who has it not";
          if (!covers(holds[rank], i)) continue;
          EXPECT_EQ(got[rank][i], rank) << "what it has need not travel";
        }
      }
    }
  }
}

TEST(PlanTransfers, AMirrorCoversOneDeathAndNotTwoNeighbours) {
  const Model model = ModelOf({100000, 50000}, 30000);
  const ShardPlan plan(model.layout, model.buckets, 4), after(model.layout, model.buckets, 2);
  const auto missing = [&](std::vector<int> alive, bool mirrored) {
    std::vector<ElementRanges> holds, needs;
    for (size_t i = 0; i < alive.size(); ++i) {
      holds.push_back(plan.Held(alive[i], mirrored));
      needs.push_back(after.Held(static_cast<int>(i) % 2, mirrored));
    }
    return PlanTransfers(holds, needs).missing;
  };
  EXPECT_TRUE(missing({0, 1, 3}, true).empty());
  EXPECT_TRUE(missing({0, 2}, true).empty());
  EXPECT_EQ(missing({2, 3}, true), plan.Owned(0)) << "rank 0's and 1's: both copies of rank 0's are gone";
  EXPECT_EQ(missing({0, 1, 3}, false), plan.Owned(2));
}

}  // namespace
}  // namespace lockstep::train
