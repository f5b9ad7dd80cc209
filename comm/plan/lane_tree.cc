#include "comm/plan/lane_tree.h"

#include <algorithm>
#include <cassert>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace lockstep::comm {
namespace {

// Adds the steps for the leaves [begin, end) and returns the slot of their sum. Leaves are slots 0 ..
// leaves-1.
int AppendBalanced(int begin, int end, int leaves, std::vector<AddStep>& steps) {
  if (end - begin == 1) return begin;
  const int split = SplitOf({begin, end});
  const int left = AppendBalanced(begin, split, leaves, steps);
  const int right = AppendBalanced(split, end, leaves, steps);
  steps.push_back({left, right});
  return leaves + static_cast<int>(steps.size()) - 1;
}

// Descends from `node` to the parts of `plan` and adds the steps on the way back. Returns the slot of `node`.
int AppendLanes(LaneRange node, LanePlan& plan) {
  for (size_t i = 0; i < plan.parts.size(); ++i) {
    if (plan.parts[i].lanes == node) return static_cast<int>(i);
  }
  const int split = SplitOf(node);
  const int left = AppendLanes({node.begin, split}, plan);
  const int right = AppendLanes({split, node.end}, plan);
  plan.steps.push_back({left, right});
  return static_cast<int>(plan.parts.size() + plan.steps.size()) - 1;
}

void AppendMaximal(LaneRange node, LaneRange owned, LaneRanges& out) {
  if (node.end <= owned.begin || owned.end <= node.begin) return;
  if (owned.Contains(node)) {
    out.push_back(node);
    return;
  }
  const int split = SplitOf(node);
  AppendMaximal({node.begin, split}, owned, out);
  AppendMaximal({split, node.end}, owned, out);
}

// The node whose child is `node`, found from the root down; an empty range when `node` is no node.
LaneRange FindParent(LaneRange node, int lanes) {
  LaneRange at{0, lanes};
  while (at.size() > node.size()) {
    const int split = SplitOf(at);
    const LaneRange left{at.begin, split}, right{split, at.end};
    if (left == node || right == node) return at;
    if (left.Contains(node)) {
      at = left;
    } else if (right.Contains(node)) {
      at = right;
    } else {
      break;
    }
  }
  return {};
}

}  // namespace

LaneRange LanesOfRank(int rank, int world_size, int lanes) {
  assert(0 <= rank && rank < world_size && world_size <= lanes);
  return {static_cast<int>(int64_t{rank} * lanes / world_size),
          static_cast<int>((int64_t{rank} + 1) * lanes / world_size)};
}

int RankOfLane(int lane, int world_size, int lanes) {
  assert(0 <= lane && lane < lanes);
  // The largest rank r with floor(r L / W) <= lane.
  return static_cast<int>(((int64_t{lane} + 1) * world_size - 1) / lanes);
}

int SplitOf(LaneRange node) {
  assert(node.size() > 1);
  int left = 1;
  while (left * 2 < node.size()) left *= 2;
  return node.begin + left;
}

bool IsNode(LaneRange range, int lanes) {
  if (range.begin < 0 || range.end > lanes || range.size() < 1) return false;
  return range == LaneRange{0, lanes} || FindParent(range, lanes).size() > 0;
}

LaneRange ParentOf(LaneRange node, int lanes) {
  const LaneRange parent = FindParent(node, lanes);
  assert(parent.size() > 0);
  return parent;
}

LaneRange SiblingOf(LaneRange node, int lanes) {
  const LaneRange parent = ParentOf(node, lanes);
  const int split = SplitOf(parent);
  return node.begin == parent.begin ? LaneRange{split, parent.end} : LaneRange{parent.begin, split};
}

LaneRanges MaximalSubtrees(LaneRange owned, int lanes) {
  LaneRanges out;
  if (owned.size() > 0) AppendMaximal({0, lanes}, owned, out);
  return out;
}

LaneMerger::LaneMerger(LaneRange owned, int lanes) : owned_(owned), lanes_(lanes), missing_(owned.size()) {}

std::vector<LaneMerge> LaneMerger::Done(int lane) {
  assert(owned_.begin <= lane && lane < owned_.end && missing_ > 0);
  --missing_;
  std::vector<LaneMerge> merges;
  LaneRange node{lane, lane + 1};
  while (node.size() < lanes_ && owned_.Contains(ParentOf(node, lanes_))) {
    const LaneRange sibling = SiblingOf(node, lanes_);
    const auto found = std::find(complete_.begin(), complete_.end(), sibling);
    if (found == complete_.end()) break;
    complete_.erase(found);
    const bool node_is_left = node.begin < sibling.begin;
    merges.push_back(node_is_left ? LaneMerge{node, sibling} : LaneMerge{sibling, node});
    node = merges.back().node();
  }
  complete_.push_back(node);
  return merges;
}

void LaneMerger::Reset() {
  missing_ = owned_.size();
  complete_.clear();
}

LanePlan MakeLanePlan(int world_size, int lanes) {
  std::vector<int> bounds = {0};
  for (int rank = 0; rank < world_size; ++rank) bounds.push_back(LanesOfRank(rank, world_size, lanes).end);
  return MakeLanePlan(bounds);
}

LanePlan MakeLanePlan(const std::vector<int>& bounds) {
  const int lanes = bounds.back();
  LanePlan plan;
  for (size_t rank = 0; rank + 1 < bounds.size(); ++rank) {
    for (LaneRange part : MaximalSubtrees({bounds[rank], bounds[rank + 1]}, lanes)) {
      plan.parts.push_back({static_cast<int>(rank), part});
    }
  }
  AppendLanes({0, lanes}, plan);
  return plan;
}

std::vector<AddStep> BalancedSteps(int leaves) {
  std::vector<AddStep> steps;
  if (leaves > 1) AppendBalanced(0, leaves, leaves, steps);
  return steps;
}

std::string ExpressionOf(const std::vector<AddStep>& steps, const std::vector<std::string>& names) {
  std::vector<std::string> slots = names;
  for (const AddStep& step : steps)
    slots.push_back(absl::StrCat("(", slots[step.left], "+", slots[step.right], ")"));
  return slots.empty() ? "" : slots.back();
}

std::string ExpressionOf(LaneRange node) {
  if (node.size() == 1) return std::to_string(node.begin);
  const int split = SplitOf(node);
  return absl::StrCat("(", ExpressionOf(LaneRange{node.begin, split}), "+",
                      ExpressionOf(LaneRange{split, node.end}), ")");
}

}  // namespace lockstep::comm
