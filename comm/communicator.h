// The communicator: what the ranks of a world do together. This is the whole interface that training uses.
//
// Rules that hold for every call:
//  - All ranks issue the same collectives in the same order with equal counts, types, operations and roots.
//    A rank that does otherwise is an error on every rank that names both calls; never a hang, never wrong
//    data.
//  - Blocking calls and Start calls of one communicator run in the order in which they were issued, one at
//    a time. Calls may come from any thread; which order two threads issue in is theirs to settle, equally on
//    all ranks.
//  - No call blocks longer than its deadline, unless ranks show that they get on with their work
//    (NoteProgress): then it blocks until nobody has for as long as the deadline, at most ten times as long.
//  - A failure is sticky: the call and every later one return it at once, and the peers fail too, naming the
//    culprit. A communicator that failed is only good for being destroyed. Errors are PeerError or
//    DeadlineError (runtime/core/status.h); a call that is wrong by itself (counts, null data) is
//    InvalidArgument, is not sticky and touches nothing.
//  - Counts are elements, never bytes. Any count (also 0, also fewer than ranks), any alignment of the type.
//  - A world of one copies `in` to `out` where they differ, and does nothing else.
//  - All ranks get the same bits. UNORDERED collectives add in an order that depends on world size and
//    algorithm; ReduceLanes adds in the lane tree's order (comm/plan/lane_tree.h), whatever the world.
#ifndef LOCKSTEP_COMM_COMMUNICATOR_H_
#define LOCKSTEP_COMM_COMMUNICATOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "comm/plan/lane_tree.h"
#include "runtime/core/dtype.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

// `count` elements of `dtype` at `data`, which the caller owns and keeps alive until the collective is
// complete.
struct Buffer {
  void* data = nullptr;
  size_t count = 0;  // elements
  DType dtype = DType::kF32;
};
struct ConstBuffer {
  const void* data = nullptr;
  size_t count = 0;  // elements
  DType dtype = DType::kF32;
  ConstBuffer() = default;
  ConstBuffer(const void* data, size_t count, DType dtype) : data(data), count(count), dtype(dtype) {}
  ConstBuffer(const Buffer& b) : data(b.data), count(b.count), dtype(b.dtype) {}  // NOLINT: reading is safe
};
template <typename T>
Buffer BufferOf(absl::Span<T> span) {
  return {span.data(), span.size(), kDTypeOf<T>};
}
template <typename T>
ConstBuffer BufferOf(absl::Span<const T> span) {
  return {span.data(), span.size(), kDTypeOf<T>};
}

// kAvg divides the sum by the world size once (integers round towards zero). 16-bit floats are computed in
// fp32 and rounded once. kMin and kMax on NaN return one of the operands.
enum class ReduceOp : uint8_t { kSum, kAvg, kProd, kMin, kMax };

// What gradients are rounded to on their way. With kBF16 and kF16 (sums of F32 by AllReduce, ReduceLanes and
// ReduceScatterLanes)
// every input and every sum of two is rounded to that type, to nearest even, wherever it is computed: so the
// bits depend on the order of additions alone, as ever, and of ReduceLanes on nothing but the lanes. Between
// machines, half the bytes travel.
enum class Wire : uint8_t { kFull, kBF16, kF16 };

struct CallOptions {
  // From when the call starts to run; zero: the communicator's.
  absl::Duration deadline = absl::ZeroDuration();
  std::string algorithm;  // "": the communicator's; else one of Algorithms() or "auto"
  Wire wire = Wire::kFull;
};

// A collective under way. Wait() may be called from any thread and any number of times. Destruction waits
// too, so that buffers cannot go away under the progress thread; Abort() ends such a wait early.
class Work {
 public:
  virtual ~Work() = default;
  virtual bool Done() const = 0;
  virtual absl::Status Wait() = 0;
};

class Communicator;

// Memory from Communicator::AllocatePeerBuffer: 64-byte aligned, zeroed, readable by peers without a copy
// where the backend can. Movable. Must not be destroyed while a collective uses it; may outlive its
// communicator.
class PeerBuffer {
 public:
  PeerBuffer() = default;
  PeerBuffer(std::byte* data, size_t size_bytes, std::shared_ptr<void> keeper)
      : data_(data), size_bytes_(size_bytes), keeper_(std::move(keeper)) {}
  std::byte* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }
  // The whole of it as elements.
  template <typename T>
  absl::Span<T> as() const {
    return {reinterpret_cast<T*>(data_), size_bytes_ / sizeof(T)};
  }

 private:
  std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
  std::shared_ptr<void> keeper_;  // gives the memory back
};

// One of this rank's complete subtrees of lanes and the sum of their gradients.
struct LanePart {
  LaneRange lanes;     // one of MaximalSubtrees(LanesOfRank(rank, size, L), L)
  ConstBuffer buffer;  // as long as the result; in a peer buffer for speed
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual uint64_t generation() const = 0;
  virtual std::string backend() const = 0;   // "shm", "tcp", "hier", "mpi", "self" (a world of one)
  virtual std::string Describe() const = 0;  // for people: "4 ranks over shm on one machine"
  virtual std::vector<std::string> Algorithms() const = 0;  // names that CallOptions::algorithm may hold

  // In place is what each says; otherwise the memory of in and out must not overlap, which is not checked.
  // out = op over ranks of in. In place when in.data == out.data.
  virtual absl::Status AllReduce(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& o = {}) = 0;
  // Rank r's out (n elements) = op over ranks of elements rn .. rn+n-1 of in (n W elements). In place: out is
  // that part of in.
  virtual absl::Status ReduceScatter(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& o = {}) = 0;
  // out (n W) = every rank's in (n), in rank order. In place: in is the own part of out.
  virtual absl::Status AllGather(ConstBuffer in, Buffer out, const CallOptions& o = {}) = 0;
  // Everyone's buffer = root's.
  virtual absl::Status Broadcast(Buffer buffer, int root, const CallOptions& o = {}) = 0;
  // Root's out = op over ranks of in; out is ignored elsewhere. In place at the root when in.data ==
  // out.data.
  virtual absl::Status Reduce(ConstBuffer in, Buffer out, ReduceOp op, int root,
                              const CallOptions& o = {}) = 0;
  // Root's out (n W) = every rank's in (n), in rank order; out is ignored elsewhere.
  virtual absl::Status Gather(ConstBuffer in, Buffer out, int root, const CallOptions& o = {}) = 0;
  // Everyone's out (n) = the own part of root's in (n W), which is ignored elsewhere.
  virtual absl::Status Scatter(ConstBuffer in, Buffer out, int root, const CallOptions& o = {}) = 0;
  // Part p of out = part `rank` of rank p's in; in and out are n W elements. In place when in.data ==
  // out.data.
  virtual absl::Status AllToAll(ConstBuffer in, Buffer out, const CallOptions& o = {}) = 0;
  virtual absl::Status Barrier(const CallOptions& o = {}) = 0;

  // The v-forms: parts of different lengths, counts[r] elements of rank r, one after another in the larger
  // buffer. All ranks give the same counts.
  virtual absl::Status ReduceScatterV(ConstBuffer in, absl::Span<const size_t> counts, Buffer out,
                                      ReduceOp op, const CallOptions& o = {}) = 0;
  virtual absl::Status AllGatherV(ConstBuffer in, Buffer out, absl::Span<const size_t> counts,
                                  const CallOptions& o = {}) = 0;
  virtual absl::Status GatherV(ConstBuffer in, Buffer out, absl::Span<const size_t> counts, int root,
                               const CallOptions& o = {}) = 0;
  virtual absl::Status ScatterV(ConstBuffer in, absl::Span<const size_t> counts, Buffer out, int root,
                                const CallOptions& o = {}) = 0;
  // in holds send_counts[p] elements for each rank p, out gets recv_counts[p] from it, which must be what p
  // sends; two buffers. Here the counts are each rank's own.
  virtual absl::Status AllToAllV(ConstBuffer in, absl::Span<const size_t> send_counts, Buffer out,
                                 absl::Span<const size_t> recv_counts, const CallOptions& o = {}) = 0;

  // A communicator of those ranks that give the same `color`, ordered by `key`, then by rank here. Collective
  // over this communicator, which stays usable and independent of the new one. A negative color: this rank
  // joins none and gets null.
  virtual absl::StatusOr<std::unique_ptr<Communicator>> Split(int color, int key,
                                                              const CallOptions& o = {}) = 0;

  // Between two ranks; the others need not take part. A Send completes when the peer has received: two ranks
  // that both send first wait for each other until the deadline, and use SendRecv instead.
  virtual absl::Status Send(ConstBuffer in, int to, const CallOptions& o = {}) = 0;
  virtual absl::Status Recv(Buffer out, int from, const CallOptions& o = {}) = 0;
  virtual absl::Status SendRecv(ConstBuffer in, int to, Buffer out, int from, const CallOptions& o = {}) = 0;

  // The reproducible reduction: result = the sum over all `lanes` lanes in the lane tree's order, with the
  // same bits on every rank and at every world size 1 .. lanes. `parts` are this rank's maximal subtrees in
  // lane order (MaximalSubtrees(LanesOfRank(rank(), size(), lanes), lanes)); every rank computes the others'
  // for itself. F32 or F64. `result` may be the first part's buffer; the other parts are left as they are.
  virtual absl::Status ReduceLanes(absl::Span<const LanePart> parts, int lanes, Buffer result,
                                   const CallOptions& o = {}) = 0;

  // The same, but of the sum each rank keeps its part alone: counts[r] elements of rank r, one after another,
  // as many in all as a part's buffer has; `out` is this rank's. In place when `out` is that place of the first
  // part's buffer, the rest of which the call may overwrite in either case.
  virtual absl::Status ReduceScatterLanes(absl::Span<const LanePart> parts, int lanes,
                                          absl::Span<const size_t> counts, Buffer out,
                                          const CallOptions& o = {}) = 0;

  // The same, under way when they return. A call that is wrong by itself returns a Work that holds the error.
  virtual std::unique_ptr<Work> StartReduceLanes(absl::Span<const LanePart> parts, int lanes, Buffer result,
                                                 const CallOptions& o = {}) = 0;
  virtual std::unique_ptr<Work> StartAllReduce(ConstBuffer in, Buffer out, ReduceOp op,
                                               const CallOptions& o = {}) = 0;
  virtual std::unique_ptr<Work> StartReduceScatter(ConstBuffer in, Buffer out, ReduceOp op,
                                                   const CallOptions& o = {}) = 0;
  virtual std::unique_ptr<Work> StartAllGather(ConstBuffer in, Buffer out, const CallOptions& o = {}) = 0;
  virtual std::unique_ptr<Work> StartBroadcast(Buffer buffer, int root, const CallOptions& o = {}) = 0;
  virtual std::unique_ptr<Work> StartReduceScatterLanes(absl::Span<const LanePart> parts, int lanes,
                                                        absl::Span<const size_t> counts, Buffer out,
                                                        const CallOptions& o = {}) = 0;
  virtual std::unique_ptr<Work> StartAllGatherV(ConstBuffer in, Buffer out, absl::Span<const size_t> counts,
                                                const CallOptions& o = {}) = 0;

  // Not a collective: ranks may allocate what they like, when they like. Error: ResourceExhausted.
  virtual absl::StatusOr<PeerBuffer> AllocatePeerBuffer(size_t size_bytes) = 0;

  // This rank got on with its work outside of the communicator: a long step, not a hang. Cheap (two atomics
  // and a look at the clock); from any thread.
  virtual void NoteProgress() {}
  // Ends what is under way, here and on the peers, with `reason` (not OK), and everything after it. From any
  // thread.
  virtual void Abort(const absl::Status& reason) = 0;
  // The sticky failure, or OK.
  virtual absl::Status status() const = 0;
  // Whether status() is not OK: one relaxed load, for loops that compute while no call is under way. What
  // fails meanwhile at a peer shows here only once somebody tells this rank (Abort) or it calls.
  virtual bool Failing() const { return !status().ok(); }
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_COMMUNICATOR_H_
