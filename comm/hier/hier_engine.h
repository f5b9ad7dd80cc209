// The communicator over several machines of several ranks each: shared memory inside a machine, a network
// between machines, each byte over the network once.
//
// A *column* is one rank of every machine; there are as many as the machine with the fewest ranks has. An
// array of n bytes on M machines goes by pieces through three stages:
//   collect   inside each machine every column's rank sums its share of the piece (reduce-scatter);
//   between   the ranks of a column reduce that share among them, by the plans of comm/p2p;
//   spread    inside each machine everyone takes everyone's share (all-gather).
// So each machine's link carries 2 n (M-1)/M bytes of an all_reduce each way, which is the least there can
// be, and the stages of different pieces overlap (link_thread.h).
//
// reduce_lanes adds the same way in the lane tree's order, where every machine's ranks are consecutive:
// inside the machine down to the largest subtrees that it can add by itself, between machines the rest.
// all_gather and reduce_scatter need machines of equally many consecutive ranks. What fits none of this
// (also reductions of 16-bit floats, which round once), and gather, scatter, all_to_all and messages, run
// on the connections of all ranks.
#ifndef LOCKSTEP_COMM_HIER_HIER_ENGINE_H_
#define LOCKSTEP_COMM_HIER_HIER_ENGINE_H_

#include <memory>
#include <string>
#include <vector>

#include "comm/engine.h"
#include "comm/hier/layout.h"
#include "comm/hier/link_thread.h"
#include "comm/p2p/collectives.h"
#include "comm/p2p/subset_transport.h"
#include "comm/p2p/transport.h"

namespace lockstep::comm {

class HierEngine : public Engine {
 public:
  // `inside`: the ranks of this rank's machine, in the layout's order; null on a machine of one. `mesh`:
  // all ranks, by way of `between` (for people). Requires two machines at least.
  HierEngine(Layout layout, int rank, int size, std::unique_ptr<Engine> inside, std::unique_ptr<Mesh> mesh,
             std::string between);

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string backend() const override { return "hier"; }
  std::string Describe() const override;
  absl::Status Run(const Call& call, RunContext& context) override;
  absl::StatusOr<PeerBuffer> AllocatePeerBuffer(size_t size_bytes) override;
  bool UsesCostModel() const override { return true; }
  void SetCostModel(const CostModel& model) override;
  void NoteProgress() override;
  void Interrupt(const absl::Status& reason) override;
  void ReportFailure(const absl::Status& reason) override;

 private:
  // One call under way: each stage has its own deadline.
  struct Stages {
    const Call& call;
    RunContext collect, between, spread;
    size_t element;  // bytes
  };
  struct Sum;

  bool RunsFlat(const Call& call) const;
  absl::Status RunFlat(const Call& call, RunContext& context);
  absl::Status Barrier(Stages& stages);
  absl::Status Reduce(Stages& stages);  // kAllReduce, kReduceLanes, kReduce
  absl::Status CollectPiece(Stages& stages, const Sum& sum, size_t piece);
  absl::Status ReduceBetween(Stages& stages, const Sum& sum, size_t piece);
  absl::Status SpreadPiece(Stages& stages, const Sum& sum, size_t piece);
  absl::Status Broadcast(Stages& stages);
  absl::Status AllGather(Stages& stages);
  absl::Status ReduceScatter(Stages& stages);
  absl::Status ReduceScatterLanes(const Call& call, RunContext& context);

  absl::Status RunInside(Call call, RunContext& context);
  absl::Status RunBetween(Call call, RunContext& context);
  absl::Status RunStages(StagedCollective collective);

  // Pieces of an array that goes through the stages.
  struct Cut {
    size_t count, piece;  // elements
    int columns;
    size_t pieces() const { return count == 0 ? 1 : (count + piece - 1) / piece; }
    Share Piece(size_t k) const;
    // Of the whole array: what a local rank answers for of a piece; empty for those beyond the columns.
    Share Column(size_t k, int local) const;
    // Elements of every local rank's column.
    std::vector<size_t> Columns(size_t k, int locals) const;
  };
  Cut CutOf(size_t count, size_t element) const;
  // The lanes that a machine owns, and where each machine's begin.
  LaneRange LanesOfMachine(int machine, int lanes) const;
  // The elements of the ranks of machine m, in a buffer of a part for each rank.
  Share PartsOfMachine(const Call& call, int machine) const;

  const Layout layout_;
  const int rank_, size_;
  const bool contiguous_, uniform_;
  const std::unique_ptr<Engine> inside_;
  const std::unique_ptr<Mesh> mesh_;
  const std::string between_;
  P2pCollectives flat_;  // all ranks
  SubsetTransport column_;
  P2pCollectives machines_;  // this rank's column, as ranks 0 .. M-1; not beyond the columns
  std::vector<std::byte> scratch_;
  LinkThread links_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_HIER_HIER_ENGINE_H_
