// broadcast, all_gather and reduce_scatter of HierEngine.
#include <algorithm>
#include <cstring>

#include "comm/hier/hier_engine.h"

namespace lockstep::comm {
namespace {

const std::byte* At(const void* data, size_t offset) { return static_cast<const std::byte*>(data) + offset; }
std::byte* At(void* data, size_t offset) { return static_cast<std::byte*>(data) + offset; }

}  // namespace

// Inside the root's machine, then each column between machines, then inside the other machines.
absl::Status HierEngine::Broadcast(Stages& stages) {
  const Call& call = stages.call;
  const int source = layout_.MachineOf(call.root);
  const bool has = source == layout_.machine;
  const Cut cut = CutOf(call.out.count, stages.element);
  const auto part_of = [&](Share share) {
    return Buffer{At(call.out.data, share.begin * stages.element), share.count(), call.dtype()};
  };
  StagedCollective staged;
  staged.pieces = cut.pieces();
  staged.collect = [&](size_t k) {
    if (!has) return absl::OkStatus();
    Call inside;
    inside.kind = Collective::kBroadcast;
    inside.root = layout_.LocalOf(call.root);
    inside.out = part_of(cut.Piece(k));
    return RunInside(inside, stages.collect);
  };
  staged.between = [&](size_t k) {
    const Share mine = cut.Column(k, layout_.local);
    if (mine.count() == 0) return absl::OkStatus();
    Call between;
    between.kind = Collective::kBroadcast;
    between.algorithm = call.algorithm;
    between.root = source;
    between.out = part_of(mine);
    return RunBetween(between, stages.between);
  };
  staged.spread = [&](size_t k) {
    if (has) return absl::OkStatus();
    Call inside;
    inside.kind = Collective::kAllGather;
    inside.counts = cut.Columns(k, static_cast<int>(layout_.mine().size()));
    inside.in = part_of(cut.Column(k, layout_.local));
    inside.out = part_of(cut.Piece(k));
    return RunInside(inside, stages.spread);
  };
  return RunStages(std::move(staged));
}

Share HierEngine::PartsOfMachine(const Call& call, int machine) const {
  return {PartOf(call, layout_.machines[machine].front(), size_).begin,
          PartOf(call, layout_.machines[machine].back(), size_).end};
}

namespace {

// Of the parts of a machine's ranks.
std::vector<size_t> CountsOf(const Call& call, const std::vector<int>& ranks, int size) {
  std::vector<size_t> counts;
  for (const int rank : ranks) counts.push_back(PartOf(call, rank, size).count());
  return counts;
}

}  // namespace

// Each rank gets the parts of its column's ranks, straight to their places; then, machine by machine,
// everyone takes what the ranks of its own machine got.
absl::Status HierEngine::AllGather(Stages& stages) {
  const Call& call = stages.call;
  const auto place = [&](int rank) {
    const Share part = PartOf(call, rank, size_);
    return Buffer{At(call.out.data, part.begin * stages.element), part.count(), call.dtype()};
  };
  const Buffer own = place(rank_);
  CopyBytes(own.data, call.in.data, own.count * stages.element);
  std::vector<Outgoing> sends;
  std::vector<Incoming> recvs;
  const int machines = layout_.machine_count();
  for (int step = 1; step < machines; ++step) {
    const int to = (layout_.machine + step) % machines, from = (layout_.machine + machines - step) % machines;
    const Buffer theirs = place(layout_.machines[from][layout_.local]);
    sends.push_back({to, own.data, own.count * stages.element, stages.between.descriptor});
    recvs.push_back({from, theirs.data, theirs.count * stages.element, stages.between.descriptor});
  }
  RETURN_IF_ERROR(column_.Exchange(sends, recvs, "all-gather"));
  for (int machine = 0; machine < machines; ++machine) {
    const std::vector<int>& ranks = layout_.machines[machine];
    const Share whole = PartsOfMachine(call, machine);
    Call inside;
    inside.kind = Collective::kAllGather;
    inside.counts = CountsOf(call, ranks, size_);
    inside.in = place(ranks[layout_.local]);
    inside.out = {At(call.out.data, whole.begin * stages.element), whole.count(), call.dtype()};
    RETURN_IF_ERROR(RunInside(inside, stages.spread));
  }
  return absl::OkStatus();
}

// Inside each machine, for each machine in turn, the sums of the parts of that machine's ranks; then each
// rank gets from its column what the other machines summed of its part.
absl::Status HierEngine::ReduceScatter(Stages& stages) {
  const Call& call = stages.call;
  const int machines = layout_.machine_count();
  const ReduceOp op = call.op == ReduceOp::kAvg ? ReduceOp::kSum : call.op;
  const size_t longest_bytes = LongestPart(call, size_) * stages.element;
  scratch_.resize(std::max(scratch_.size(), 2 * machines * longest_bytes));
  const auto summed = [&](int machine) { return scratch_.data() + machine * longest_bytes; };
  const auto received = [&](int machine) { return scratch_.data() + (machines + machine) * longest_bytes; };
  const auto column_part = [&](int machine) {
    return PartOf(call, layout_.machines[machine][layout_.local], size_);
  };
  for (int machine = 0; machine < machines; ++machine) {
    const Share whole = PartsOfMachine(call, machine), part = column_part(machine);
    Call inside;
    inside.kind = Collective::kReduceScatter;
    inside.op = op;
    inside.counts = CountsOf(call, layout_.machines[machine], size_);
    inside.in = {At(call.in.data, whole.begin * stages.element), whole.count(), call.dtype()};
    inside.out = {summed(machine), part.count(), call.dtype()};
    if (inside_ == nullptr) CopyBytes(summed(machine), inside.in.data, part.count() * stages.element);
    RETURN_IF_ERROR(RunInside(inside, stages.collect));
  }
  std::vector<Outgoing> sends;
  std::vector<Incoming> recvs;
  std::vector<const void*> terms(machines);
  const size_t bytes = call.out.count * stages.element;
  terms[layout_.machine] = summed(layout_.machine);
  for (int step = 1; step < machines; ++step) {
    const int to = (layout_.machine + step) % machines, from = (layout_.machine + machines - step) % machines;
    sends.push_back({to, summed(to), column_part(to).count() * stages.element, stages.between.descriptor});
    recvs.push_back({from, received(from), bytes, stages.between.descriptor});
    terms[from] = received(from);
  }
  RETURN_IF_ERROR(column_.Exchange(sends, recvs, "reduce-scatter"));
  ReduceProgram(machines, BalancedSteps(machines), call.op, call.dtype(),
                call.op == ReduceOp::kAvg ? size_ : 1)
      .Run(terms.data(), call.out.data, call.out.count);
  return absl::OkStatus();
}

}  // namespace lockstep::comm
