// The one order in which lane gradients are added, whatever the world size. Pure arithmetic, no processes.
//
// The lanes 0 .. L-1 are the leaves of one fixed binary tree. A node is the half-open range of lanes below
// it. A node of n > 1 lanes splits so that its left child holds the largest power of two of lanes below n:
// for a power of two that is the half, so such trees are perfectly balanced; 6 lanes are (4, 2), 7 are
// (4, (2, 1)). A node's value is left + right: one rounded addition of two rounded sums. The tree of L lanes:
//     Sum(b, e) = Sum(b, m) + Sum(m, e)   with m the split of [b, e); Sum(b, b + 1) = lane b's gradient.
//
// Rank i of W owns the lanes floor(iL/W) .. floor((i+1)L/W)-1. It can add by itself exactly the nodes inside
// that range; the largest of them are its maximal subtrees, which are its parts of Communicator::ReduceLanes
// (one when L and W are powers of two, never more than 2 log2 L). All functions are deterministic and
// thread-safe.
#ifndef LOCKSTEP_COMM_PLAN_LANE_TREE_H_
#define LOCKSTEP_COMM_PLAN_LANE_TREE_H_

#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"

namespace lockstep::comm {

// Lanes begin .. end-1; a node of the tree, or what a rank owns.
struct LaneRange {
  int begin = 0;
  int end = 0;
  int size() const { return end - begin; }
  bool Contains(LaneRange other) const { return begin <= other.begin && other.end <= end; }
  friend bool operator==(LaneRange a, LaneRange b) { return a.begin == b.begin && a.end == b.end; }
  friend bool operator!=(LaneRange a, LaneRange b) { return !(a == b); }
};

// The lanes of `rank` in a world of `world_size`. Requires 0 <= rank < world_size <= lanes.
LaneRange LanesOfRank(int rank, int world_size, int lanes);
// Who owns `lane`.
int RankOfLane(int lane, int world_size, int lanes);

// Where a node splits: its children are [begin, split) and [split, end). Requires node.size() > 1.
int SplitOf(LaneRange node);
// Whether `range` is a node of the tree of `lanes` lanes.
bool IsNode(LaneRange range, int lanes);
// The parent of a node other than the root [0, lanes), and the parent's other child.
LaneRange ParentOf(LaneRange node, int lanes);
LaneRange SiblingOf(LaneRange node, int lanes);

// The largest nodes inside `owned`, in lane order. They cover it exactly.
using LaneRanges = absl::InlinedVector<LaneRange, 8>;  // as many as a small world needs without allocating
LaneRanges MaximalSubtrees(LaneRange owned, int lanes);

// "left += right" makes the value of node left.begin .. right.end.
struct LaneMerge {
  LaneRange left;
  LaneRange right;
  LaneRange node() const { return {left.begin, right.end}; }
};

// Says, while the lanes of one rank finish in any order, which nodes may be merged now. One object for each
// bucket and step. Not thread-safe: guard it, or give it to one thread.
class LaneMerger {
 public:
  LaneMerger(LaneRange owned, int lanes);

  // `lane` (owned, not done before) holds its gradient. Returns the merges that became possible, in the order
  // in which they must happen: each adds its right node into its left one, after which the right one's buffer
  // is free. A merge happens exactly once, when the later of its two nodes is complete.
  std::vector<LaneMerge> Done(int lane);
  // All maximal subtrees are complete: these are the parts to hand to ReduceLanes.
  bool complete() const { return missing_ == 0; }
  // Starts over for the next step.
  void Reset();

 private:
  LaneRange owned_;
  int lanes_;
  int missing_;                      // lanes not done yet
  std::vector<LaneRange> complete_;  // complete nodes not merged further, in no order
};

// One addition of a reduction over the parts of all ranks. Operands and result are slots: 0 .. parts-1 are
// the parts in lane order, parts + k is the result of step k.
struct AddStep {
  int left = 0;
  int right = 0;
};

// The rest of the tree above the parts: what the communicator adds.
struct LanePlan {
  struct Part {
    int rank = 0;
    LaneRange lanes;
  };
  std::vector<Part> parts;     // of all ranks, in lane order
  std::vector<AddStep> steps;  // parts.size() - 1 of them; the last one's result is the sum over all lanes
};
LanePlan MakeLanePlan(int world_size, int lanes);
// The same where rank r owns the lanes bounds[r] .. bounds[r + 1] - 1, which may be none. Requires
// bounds[0] = 0; the last is the number of lanes.
LanePlan MakeLanePlan(const std::vector<int>& bounds);

// The sum of `leaves` slots as one balanced tree by the rule above: the steps for slots that are all equal
// citizens.
std::vector<AddStep> BalancedSteps(int leaves);

// The expression that `steps` compute over leaves named `names`: "((0+1)+(2+3))". For tests and for people.
std::string ExpressionOf(const std::vector<AddStep>& steps, const std::vector<std::string>& names);
// The whole tree's expression below `node`.
std::string ExpressionOf(LaneRange node);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_PLAN_LANE_TREE_H_
