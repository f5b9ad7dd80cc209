#include "comm/plan/lane_tree.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace lockstep::comm {
namespace {

TEST(LaneTreeTest, ExpressionsAreBalanced) {
  EXPECT_EQ(ExpressionOf(LaneRange{0, 1}), "0");
  EXPECT_EQ(ExpressionOf(LaneRange{0, 2}), "(0+1)");
  EXPECT_EQ(ExpressionOf(LaneRange{0, 4}), "((0+1)+(2+3))");
  EXPECT_EQ(ExpressionOf(LaneRange{0, 6}), "(((0+1)+(2+3))+(4+5))");
  EXPECT_EQ(ExpressionOf(LaneRange{0, 7}), "(((0+1)+(2+3))+((4+5)+6))");
  EXPECT_EQ(ExpressionOf(LaneRange{0, 8}), "(((0+1)+(2+3))+((4+5)+(6+7)))");
}

TEST(LaneTreeTest, RanksOwnAllLanesOnceInOrder) {
  for (int lanes = 1; lanes <= 40; ++lanes) {
    for (int world = 1; world <= lanes; ++world) {
      int next = 0;
      for (int rank = 0; rank < world; ++rank) {
        const LaneRange owned = LanesOfRank(rank, world, lanes);
        EXPECT_EQ(owned.begin, next);
        EXPECT_GT(owned.size(), 0);
        for (int lane = owned.begin; lane < owned.end; ++lane)
          EXPECT_EQ(RankOfLane(lane, world, lanes), rank);
        next = owned.end;
      }
      EXPECT_EQ(next, lanes);
    }
  }
}

TEST(LaneTreeTest, ParentsAndSiblings) {
  EXPECT_EQ(ParentOf({4, 6}, 7), (LaneRange{4, 7}));
  EXPECT_EQ(SiblingOf({4, 6}, 7), (LaneRange{6, 7}));
  EXPECT_EQ(SiblingOf({4, 7}, 7), (LaneRange{0, 4}));
  EXPECT_TRUE(IsNode({0, 7}, 7));
  EXPECT_TRUE(IsNode({6, 7}, 7));
  EXPECT_FALSE(IsNode({5, 7}, 7));
  EXPECT_FALSE(IsNode({1, 3}, 8));
  EXPECT_FALSE(IsNode({0, 8}, 7));
}

TEST(LaneTreeTest, MaximalSubtreesAreFew) {
  EXPECT_EQ(MaximalSubtrees({0, 8}, 8).size(), 1u);
  EXPECT_EQ(MaximalSubtrees({2, 4}, 8).size(), 1u);
  EXPECT_EQ(MaximalSubtrees({1, 7}, 8).size(), 4u);  // 1, 2-3, 4-5, 6
  for (int lanes : {8, 16, 32}) {
    for (int world = 1; world <= lanes; ++world) {
      for (int rank = 0; rank < world; ++rank) {
        const auto parts = MaximalSubtrees(LanesOfRank(rank, world, lanes), lanes);
        EXPECT_LE(parts.size(), 10u);
        for (LaneRange part : parts) EXPECT_TRUE(IsNode(part, lanes));
        if ((world & (world - 1)) == 0) {
          EXPECT_EQ(parts.size(), 1u) << lanes << " lanes on " << world << " ranks";
        }
      }
    }
  }
}

// Merging locally in any order of completion, then adding the parts by the plan, is the whole tree's
// expression.
TEST(LaneTreeTest, AnyWorldComputesTheTreesExpression) {
  std::mt19937 random(1);
  for (int lanes = 1; lanes <= 32; ++lanes) {
    for (int world = 1; world <= lanes; ++world) {
      const LanePlan plan = MakeLanePlan(world, lanes);
      ASSERT_EQ(plan.steps.size() + 1, plan.parts.size());
      std::vector<std::string> parts;
      for (int rank = 0; rank < world; ++rank) {
        const LaneRange owned = LanesOfRank(rank, world, lanes);
        std::vector<int> order;
        for (int lane = owned.begin; lane < owned.end; ++lane) order.push_back(lane);
        std::shuffle(order.begin(), order.end(), random);
        LaneMerger merger(owned, lanes);
        std::map<int, std::string> buffers;  // by first lane
        for (int lane : order) {
          ASSERT_FALSE(merger.complete());
          buffers[lane] = absl::StrCat(lane);
          for (const LaneMerge& merge : merger.Done(lane)) {
            ASSERT_TRUE(buffers.count(merge.left.begin) == 1 && buffers.count(merge.right.begin) == 1);
            std::string& left = buffers[merge.left.begin];
            left = absl::StrCat("(", left, "+", buffers[merge.right.begin], ")");
            buffers.erase(merge.right.begin);
          }
        }
        ASSERT_TRUE(merger.complete());
        const auto subtrees = MaximalSubtrees(owned, lanes);
        ASSERT_EQ(buffers.size(), subtrees.size());
        for (LaneRange subtree : subtrees) {
          ASSERT_EQ(buffers[subtree.begin], ExpressionOf(subtree));
          parts.push_back(buffers[subtree.begin]);
        }
      }
      ASSERT_EQ(ExpressionOf(plan.steps, parts), ExpressionOf(LaneRange{0, lanes}))
          << lanes << " lanes on " << world << " ranks";
    }
  }
}

TEST(LaneTreeTest, MergerStartsOver) {
  LaneMerger merger({0, 2}, 4);
  EXPECT_TRUE(merger.Done(0).empty());
  merger.Reset();
  EXPECT_TRUE(merger.Done(1).empty());
  EXPECT_EQ(merger.Done(0).size(), 1u);
  EXPECT_TRUE(merger.complete());
}

}  // namespace
}  // namespace lockstep::comm
