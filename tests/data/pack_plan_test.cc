#include "runtime/data/pack_plan.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/rng.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;

std::vector<PackedPiece> Window(const PackPlan& plan, int64_t window) {
  const auto pieces = plan.Window(window);
  return {pieces.begin(), pieces.end()};
}

TEST(PackPlanTest, FullestWindowFirst) {
  const PackPlan plan = PlanPacks({3, 6, 7, 2, 1, 4}, 10);
  // 7, 6, 4, 3, 2, 1: 7 alone; 6 alone; 4 to the 6, which is full then; 3 to the 7; 2 and 1 in one of their
  // own.
  ASSERT_EQ(plan.windows(), 3);
  EXPECT_THAT(Window(plan, 0), ElementsAre(PackedPiece{0, 0, 3}, PackedPiece{2, 0, 7}));
  EXPECT_THAT(Window(plan, 1), ElementsAre(PackedPiece{1, 0, 6}, PackedPiece{5, 0, 4}));
  EXPECT_THAT(Window(plan, 2), ElementsAre(PackedPiece{3, 0, 2}, PackedPiece{4, 0, 1}));
}

TEST(PackPlanTest, LongDocumentsAreCut) {
  const PackPlan plan = PlanPacks({25, 5}, 10);
  ASSERT_EQ(plan.windows(), 3);
  EXPECT_THAT(Window(plan, 0), ElementsAre(PackedPiece{0, 0, 10}));
  EXPECT_THAT(Window(plan, 1), ElementsAre(PackedPiece{0, 10, 10}));
  EXPECT_THAT(Window(plan, 2), ElementsAre(PackedPiece{0, 20, 5}, PackedPiece{1, 0, 5}));
}

TEST(PackPlanTest, NothingToPack) {
  EXPECT_EQ(PlanPacks({}, 10).windows(), 0);
  EXPECT_EQ(PlanPacks({0, 0}, 10).windows(), 0);
}

TEST(PackPlanTest, EveryPositionOnceAndNoWindowTooFull) {
  uint64_t state = 1;
  for (int round = 0; round < 200; ++round) {
    const int64_t window = 1 + static_cast<int64_t>((state = Mix64(state)) % 64);
    std::vector<int64_t> lengths((state = Mix64(state)) % 300);
    for (int64_t& length : lengths) length = static_cast<int64_t>((state = Mix64(state)) % 100);
    const PackPlan plan = PlanPacks(lengths, window);
    std::map<int64_t, int64_t> next;  // of each document
    std::vector<PackedPiece> all;
    int64_t fewest = 0;
    for (int64_t w = 0; w < plan.windows(); ++w) {
      int64_t held = 0;
      for (const PackedPiece& piece : plan.Window(w)) {
        held += piece.length;
        all.push_back(piece);
        ASSERT_GT(piece.length, 0);
      }
      ASSERT_LE(held, window);
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      return std::pair(a.document, a.first) < std::pair(b.document, b.first);
    });
    for (const PackedPiece& piece : all) {
      ASSERT_EQ(piece.first, next[piece.document]);
      next[piece.document] += piece.length;
      ASSERT_TRUE(piece.length == window || next[piece.document] == lengths[piece.document])
          << "cut for nothing";
    }
    for (size_t i = 0; i < lengths.size(); ++i) ASSERT_EQ(next[static_cast<int64_t>(i)], lengths[i]);
    const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
    fewest = (total + window - 1) / window;
    EXPECT_LE(plan.windows(), fewest * 11 / 9 + 6);
  }
}

}  // namespace
}  // namespace lockstep::data
