// Collectives of ranks on one machine, over memory that all of them map. Results are pulled: every rank
// writes its own memory only and reads its peers'.
//
// Two ways to make data visible: `direct`, when it lies in peer buffers (the arena), and `staged`, copied by
// pieces into the staging areas when it lies anywhere. Staged pieces alternate between two areas, so that one
// barrier a piece suffices where nothing but the inputs is staged.
//
// Staging areas are written around the caches (StagedStores): peers have read those lines before, and taking
// lines back from another core's cache costs more than memory does.
//
// A third way for reductions of middling size where the kernel allows it: reading the peers' ordinary memory
// (comm/shm/cross_memory.h).
//
// Reductions (N ranks, S bytes a rank; algbw bounds are in docs/DESIGN.md, section 5):
//   one_shot   every rank stages its input and reduces everything: 1 barrier, N (N + 3) S moved. For small S.
//              Up to 16 bytes travel with the greeting, in the line that all look at anyway.
//   two_shot   by segments: every rank reduces its share of the segment into its own result, then copies the
//              other shares from the others' results: 2 barriers and one a segment, (3N - 1) S moved
//              (5N - 2 staged). Small ones, and staged ones, show results in a staging area: 1 barrier and
//              one a piece (two where pieces of inputs are staged behind the first).
//   ring       the reference algorithm of comm/p2p, over messages. For comparison.
#ifndef LOCKSTEP_COMM_SHM_SHM_ENGINE_H_
#define LOCKSTEP_COMM_SHM_SHM_ENGINE_H_

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "comm/engine.h"
#include "comm/p2p/collectives.h"
#include "comm/p2p/transport.h"
#include "comm/reduce/reduce.h"
#include "comm/reduction_plan.h"
#include "comm/shm/group.h"
#include "comm/store.h"

namespace lockstep::comm {

// Collective over the meeting; fails or succeeds on all ranks. `names`: see ShmGroup.
absl::StatusOr<std::unique_ptr<Engine>> MakeShmEngine(Meeting& meeting, uint64_t generation,
                                                      Deadline deadline, std::vector<int> names = {});

// How `size_bytes` bytes of a staging area are written; few are better left in the caches.
inline Stores StagedStores(size_t size_bytes) {
  return size_bytes >= 4096 ? Stores::kStreaming : Stores::kCached;
}

// Elements of a piece: a multiple of `step` and at least one.
inline size_t RoundDown(size_t value, size_t step) { return std::max(step, value / step * step); }

class ShmEngine : public Engine, private Transport {
 public:
  ShmEngine(int rank, std::shared_ptr<Arena> arena, std::vector<ShmLink> links, std::vector<int> names);

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  std::string backend() const override { return "shm"; }
  std::string Describe() const override;
  absl::Status Run(const Call& call, RunContext& context) override;
  absl::StatusOr<PeerBuffer> AllocatePeerBuffer(size_t size_bytes) override {
    return arena_->Allocate(size_bytes);
  }
  void NoteProgress() override { group_.NoteProgress(); }
  std::string DescribeChoices() const override;
  void Interrupt(const absl::Status& reason) override { group_.Interrupt(reason); }
  void ReportFailure(const absl::Status& reason) override { group_.ReportFailure(reason); }

 private:
  // A reduction whose result every rank wants, or only the root.
  struct Reduction {
    Pointers<const void*> inputs;  // this rank's
    void* out = nullptr;           // null: this rank takes no result
    size_t count = 0;              // elements
    size_t element_bytes = 0;
    const ReductionPlan* plan = nullptr;
    bool everyone = true;  // every rank has an `out`
  };
  absl::Status ReduceEverywhere(const Call& call, RunContext& context);
  absl::Status OneShot(const Reduction& reduction, const RunContext& context);
  absl::Status OneShotUnlessDirect(const Reduction& reduction, const RunContext& context);
  size_t NextOneShotArea() const;
  void StageWhole(const Reduction& reduction, std::byte* staged);
  template <typename BeginOf>
  void ReduceWhole(const Reduction& reduction, const BeginOf& begin_of);
  void ReduceStaged(const Reduction& reduction, size_t area);
  absl::Status TwoShot(const Reduction& reduction, const RunContext& context);
  absl::Status TwoShotBegun(const Reduction& reduction);
  absl::Status TwoShotDirect(const Reduction& reduction, const Pointers<const std::byte*>& inputs,
                             const Pointers<std::byte*>& results);
  absl::Status TwoShotCross(const Reduction& reduction);
  absl::Status ReadPeer(int peer, bool direct, uint64_t at, void* to, size_t size_bytes);
  static bool WorthCrossing(const Reduction& reduction);
  static size_t StagedPiece(const Reduction& reduction);
  void StagePiece(const Reduction& reduction, size_t begin, int parity);
  absl::Status TwoShotStaged(const Reduction& reduction, const Pointers<const std::byte*>& direct_inputs);
  absl::Status ReduceScatter(const Call& call, const RunContext& context);
  absl::Status ReduceScatterStaged(const Call& call, const ReductionPlan& plan,
                                   const Pointers<const void*>& inputs);

  // A collective that moves blocks of memory: this rank shows some at `shown`, and takes one of each rank, or
  // none. Offsets and lengths are bytes.
  struct Pull {
    struct Take {
      int index = -1;  // among the blocks that the peer shows; negative: nothing is taken
      Share block;     // where it is in what the peer shows
      void* into = nullptr;
    };
    const void* shown = nullptr;
    std::vector<Share> blocks;
    std::vector<Take> take;         // by peer
    size_t longest_block = 0;       // of all ranks
    bool overwrites_shown = false;  // what is taken lands where other ranks may still read
  };
  absl::Status RunPull(const Pull& pull, const RunContext& context);
  absl::Status PullDirect(const Pull& pull);
  absl::Status PullStaged(const Pull& pull);
  Pull PullOf(const Call& call) const;

  // Messages between two ranks (Transport).
  absl::Status Exchange(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                        const char* phase) override;
  struct Progress;
  bool Post(const Outgoing& send, Progress& progress);
  absl::StatusOr<bool> Take(const Incoming& recv, Progress& progress);

  // Says in the slot of the call to come where this rank's data is.
  CallSlot& ShowSlot(absl::Span<const void* const> inputs, size_t input_bytes, const void* result,
                     size_t result_bytes);

  // The algorithms of comm/p2p, over messages.
  absl::Status RunByMessages(const Call& call, RunContext& context);

  const std::shared_ptr<Arena> arena_;
  ShmGroup group_;
  P2pCollectives messages_;
  ReductionPlans plans_;
  std::vector<std::byte> crossed_;        // pieces of peers' inputs
  std::vector<uint32_t> posted_, taken_;  // pieces of messages so far, for each peer
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_SHM_SHM_ENGINE_H_
