// all_reduce, reduce_lanes and reduce of HierEngine: three stages a piece.
#include <algorithm>

#include "comm/hier/hier_engine.h"

namespace lockstep::comm {
namespace {

const std::byte* At(const void* data, size_t offset) { return static_cast<const std::byte*>(data) + offset; }
std::byte* At(void* data, size_t offset) { return static_cast<std::byte*>(data) + offset; }

}  // namespace

// What a machine adds by itself: of lanes one array for each of its maximal subtrees, else one.
struct HierEngine::Sum {
  Cut cut;
  LaneRanges nodes;                 // of this machine; one empty range where there are no lanes
  std::vector<int> machine_bounds;  // lanes of the machines; empty: as LanesOfRank divides them
  bool to_root;                     // only the root takes the result
  bool in_scratch;                  // this rank's columns of the sums, two pieces by turns
  size_t longest_column;            // elements

  // Where this rank's column of array `node` of piece `k` is summed.
  std::byte* Target(Stages& stages, std::vector<std::byte>& scratch, size_t k, size_t node, int local) const {
    if (!in_scratch) return At(stages.call.out.data, cut.Column(k, local).begin * stages.element);
    return scratch.data() + (k % 2 * nodes.size() + node) * longest_column * stages.element;
  }
};

absl::Status HierEngine::Reduce(Stages& stages) {
  const Call& call = stages.call;
  const size_t count = call.kind == Collective::kReduceLanes ? call.out.count : call.in.count;
  Sum sum;
  sum.cut = CutOf(count, stages.element);
  sum.nodes = {LaneRange{}};
  if (call.lanes > 0) {
    sum.nodes = MaximalSubtrees(LanesOfMachine(layout_.machine, call.lanes), call.lanes);
    if (!uniform_) {
      sum.machine_bounds = {0};
      for (int m = 0; m < layout_.machine_count(); ++m) {
        sum.machine_bounds.push_back(LanesOfMachine(m, call.lanes).end);
      }
    }
  }
  sum.to_root = call.kind == Collective::kReduce;
  // Sums of several subtrees cannot all be in `out`; and `out` may be the input of another subtree.
  sum.in_scratch = (sum.to_root && rank_ != call.root) || (sum.nodes.size() > 1 && inside_ != nullptr);
  sum.longest_column = sum.cut.Column(0, 0).count();
  for (int local = 1; local < sum.cut.columns; ++local) {
    sum.longest_column = std::max(sum.longest_column, sum.cut.Column(0, local).count());
  }
  if (sum.in_scratch) {
    const size_t bytes = 2 * sum.nodes.size() * sum.longest_column * stages.element;
    scratch_.resize(std::max(scratch_.size(), bytes));
  }
  StagedCollective staged;
  staged.pieces = sum.cut.pieces();
  staged.collect = [&](size_t k) { return CollectPiece(stages, sum, k); };
  staged.between = [&](size_t k) { return ReduceBetween(stages, sum, k); };
  staged.spread = [&](size_t k) { return SpreadPiece(stages, sum, k); };
  return RunStages(std::move(staged));
}

// Every column's rank adds what its machine has of the column.
absl::Status HierEngine::CollectPiece(Stages& stages, const Sum& sum, size_t k) {
  if (inside_ == nullptr) return absl::OkStatus();
  const Call& call = stages.call;
  const Share piece = sum.cut.Piece(k), mine = sum.cut.Column(k, layout_.local);
  Call inside;
  inside.kind = Collective::kReduceScatter;
  inside.op = call.op == ReduceOp::kAvg ? ReduceOp::kSum : call.op;
  inside.wire = call.wire;
  inside.counts = sum.cut.Columns(k, static_cast<int>(layout_.mine().size()));
  for (size_t node = 0; node < sum.nodes.size(); ++node) {
    inside.out = {sum.Target(stages, scratch_, k, node, layout_.local), mine.count(), call.dtype()};
    if (call.lanes == 0) {
      inside.in = {At(call.in.data, piece.begin * stages.element), piece.count(), call.dtype()};
      RETURN_IF_ERROR(RunInside(inside, stages.collect));
      continue;
    }
    // The subtree is the tree of its own lanes, counted from its first.
    const LaneRange lanes = sum.nodes[node];
    inside.lanes = lanes.size();
    inside.parts.clear();
    for (const LanePart& part : call.parts) {
      if (!lanes.Contains(part.lanes)) continue;
      const LaneRange shifted{part.lanes.begin - lanes.begin, part.lanes.end - lanes.begin};
      const void* data = At(part.buffer.data, piece.begin * stages.element);
      inside.parts.push_back({shifted, {data, piece.count(), call.dtype()}});
    }
    inside.lane_bounds = {0};
    for (const int rank : layout_.mine()) {
      const int end = LanesOfRank(rank, size_, call.lanes).end;
      inside.lane_bounds.push_back(std::clamp(end - lanes.begin, 0, lanes.size()));
    }
    RETURN_IF_ERROR(RunInside(inside, stages.collect));
  }
  return absl::OkStatus();
}

// The ranks of a column reduce it among the machines.
absl::Status HierEngine::ReduceBetween(Stages& stages, const Sum& sum, size_t k) {
  const Call& call = stages.call;
  const Share mine = sum.cut.Column(k, layout_.local);
  if (mine.count() == 0) return absl::OkStatus();  // so on every machine
  const size_t offset = mine.begin * stages.element;
  // A rank alone on its machine has the inputs as they came.
  const auto array = [&](size_t node, const void* as_it_came) -> const void* {
    return inside_ == nullptr ? At(as_it_came, offset) : sum.Target(stages, scratch_, k, node, layout_.local);
  };
  Call between;
  between.kind = call.kind;
  between.op = call.op == ReduceOp::kAvg ? ReduceOp::kSum : call.op;
  between.algorithm = call.algorithm;
  between.wire = call.wire;
  const int root = sum.to_root ? layout_.MachineOf(call.root) : layout_.machine;
  between.root = root;
  void* const out = sum.to_root ? sum.Target(stages, scratch_, k, 0, layout_.local)
                                : static_cast<void*>(At(call.out.data, offset));
  if (root == layout_.machine) between.out = {out, mine.count(), call.dtype()};
  if (call.lanes > 0) {
    between.lanes = call.lanes;
    between.lane_bounds = sum.machine_bounds;
    for (size_t node = 0; node < sum.nodes.size(); ++node) {
      const void* as_it_came = inside_ == nullptr ? call.parts[node].buffer.data : nullptr;
      between.parts.push_back({sum.nodes[node], {array(node, as_it_came), mine.count(), call.dtype()}});
    }
  } else {
    between.in = {array(0, call.in.data), mine.count(), call.dtype()};
  }
  RETURN_IF_ERROR(RunBetween(between, stages.between));
  if (call.op != ReduceOp::kAvg || root != layout_.machine) return absl::OkStatus();
  const void* const total[] = {out};
  ReduceProgram(1, {}, ReduceOp::kAvg, call.dtype(), size_, call.wire).Run(total, out, mine.count());
  return absl::OkStatus();
}

// Everyone, or the root, takes the columns of its machine.
absl::Status HierEngine::SpreadPiece(Stages& stages, const Sum& sum, size_t k) {
  const Call& call = stages.call;
  if (inside_ == nullptr) return absl::OkStatus();
  if (sum.to_root && layout_.MachineOf(call.root) != layout_.machine) return absl::OkStatus();
  const Share piece = sum.cut.Piece(k), mine = sum.cut.Column(k, layout_.local);
  Call spread;
  spread.kind = sum.to_root ? Collective::kGather : Collective::kAllGather;
  spread.root = sum.to_root ? layout_.LocalOf(call.root) : 0;
  spread.counts = sum.cut.Columns(k, static_cast<int>(layout_.mine().size()));
  const void* column = sum.to_root ? sum.Target(stages, scratch_, k, 0, layout_.local)
                                   : At(call.out.data, mine.begin * stages.element);
  spread.in = {column, mine.count(), call.dtype()};
  if (!sum.to_root || rank_ == call.root) {
    spread.out = {At(call.out.data, piece.begin * stages.element), piece.count(), call.dtype()};
  }
  return RunInside(spread, stages.spread);
}

}  // namespace lockstep::comm
