// Recursive halving and doubling (Rabenseifner). In step s of the halving every rank exchanges half of what it
// still answers for with the rank 2^s away and adds what it gets; then it holds one of 2^k shares of the sum,
// and the doubling takes the same way back. 2 log2 p steps, 2 n (p-1)/p bytes.
//
// Near ranks come first, so the additions are those of the balanced tree over ranks: with one part a rank
// and powers of two, the lane tree's.
//
// Other numbers of ranks first fold: of the first 2 (p - 2^k) ranks, each even one gives its input to the odd
// one after it and takes the result from it at the end.
#include <algorithm>
#include <bit>
#include <vector>

#include "comm/p2p/collectives.h"

namespace lockstep::comm {
namespace {

constexpr size_t kSegmentBytes = size_t{256} << 10;  // what is received is added while it is in the cache

struct Halving {
  Transport& transport;
  const CallDescriptor descriptor;
  const int rank, size;
  const size_t count, element;
  const std::byte* in;
  std::byte* out;
  const ReduceProgram& add;
  std::vector<std::byte>& scratch;

  int Core() const { return static_cast<int>(std::bit_floor(static_cast<unsigned>(size))); }
  int Folded() const { return size - Core(); }
  // Ranks of the core are counted without the even ones that folded.
  int InCore(int r) const { return r < 2 * Folded() ? r / 2 : r - Folded(); }
  int OfCore(int c) const { return c < Folded() ? 2 * c + 1 : c + Folded(); }

  // A message of kNone bytes is none at all. (Null data is no sign of that: empty buffers may have none.)
  static constexpr size_t kNone = ~size_t{0};
  absl::Status Swap(int peer, const std::byte* from, size_t send, std::byte* to, size_t recv,
                    const char* phase) const {
    const Outgoing outgoing{peer, from, send, descriptor};
    const Incoming incoming{peer, to, recv, descriptor};
    return transport.Exchange({&outgoing, send != kNone ? 1u : 0u}, {&incoming, recv != kNone ? 1u : 0u},
                              phase);
  }

  // out[part] = left + right, where one of them is `held` and the other comes from the peer, while the peer
  // gets this rank's `given`. By segments.
  absl::Status SwapAndAdd(int peer, const std::byte* held, Share given, Share part) const {
    const size_t step = kSegmentBytes / element;
    for (size_t k = 0; k * step < std::max({given.count(), part.count(), size_t{1}}); ++k) {
      const auto segment = [&](Share s) {
        return Share{std::min(s.end, s.begin + k * step), std::min(s.end, s.begin + (k + 1) * step)};
      };
      const Share send = segment(given), recv = segment(part);
      RETURN_IF_ERROR(Swap(peer, held + send.begin * element, send.count() * element, scratch.data(),
                           recv.count() * element, "reduce-scatter"));
      const void* terms[] = {held + recv.begin * element, scratch.data()};
      if (peer < rank) std::swap(terms[0], terms[1]);
      add.Run(terms, out + recv.begin * element, recv.count());
    }
    return absl::OkStatus();
  }

  absl::Status Run() const {
    scratch.resize(std::max(scratch.size(), kSegmentBytes));
    const Share whole{0, count};
    const std::byte* held = in;
    const bool folds = rank < 2 * Folded();
    if (folds && rank % 2 == 0) {
      RETURN_IF_ERROR(Swap(rank + 1, in, count * element, nullptr, kNone, "fold"));
      return Swap(rank + 1, nullptr, kNone, out, count * element, "unfold");
    }
    if (folds) {
      scratch.resize(std::max(scratch.size(), count * element));
      RETURN_IF_ERROR(Swap(rank - 1, nullptr, kNone, scratch.data(), count * element, "fold"));
      const void* const terms[] = {scratch.data(), in};
      add.Run(terms, out, count);
      held = out;
    }
    std::vector<Share> answered = {whole};  // for, before each step
    for (int distance = 1; distance < Core(); distance *= 2) {
      const int me = InCore(rank), peer = OfCore(me ^ distance);
      const Share now = answered.back();
      const size_t middle = now.begin + ShareOf(now.count(), 0, 2).end;
      const bool low = (me & distance) == 0;
      const Share kept = low ? Share{now.begin, middle} : Share{middle, now.end};
      const Share given = low ? Share{middle, now.end} : Share{now.begin, middle};
      RETURN_IF_ERROR(SwapAndAdd(peer, held, given, kept));
      answered.push_back(kept);
      held = out;
    }
    for (int distance = Core() / 2; distance > 0; distance /= 2) {
      const int peer = OfCore(InCore(rank) ^ distance);
      const Share mine = answered.back();
      answered.pop_back();
      const Share both = answered.back();
      const Share theirs =
          mine.begin == both.begin ? Share{mine.end, both.end} : Share{both.begin, mine.begin};
      RETURN_IF_ERROR(Swap(peer, out + mine.begin * element, mine.count() * element,
                           out + theirs.begin * element, theirs.count() * element, "all-gather"));
    }
    if (!folds) return absl::OkStatus();
    return Swap(rank - 1, out, count * element, nullptr, kNone, "unfold");
  }
};

}  // namespace

absl::Status P2pCollectives::HalvingDoubling(const Call& call, const CallDescriptor& d) {
  const void* const in = InputsOf(call)[0];
  const ReduceOp op = call.op == ReduceOp::kAvg ? ReduceOp::kSum : call.op;
  const ReduceProgram add(2, {{0, 1}}, op, call.dtype(), 1, call.wire);
  const Halving halving{transport_,
                        d,
                        rank_,
                        size_,
                        call.out.count,
                        SizeOf(call.dtype()),
                        static_cast<const std::byte*>(in),
                        static_cast<std::byte*>(call.out.data),
                        add,
                        scratch_};
  RETURN_IF_ERROR(halving.Run());
  return DivideResult(call);
}

absl::Status P2pCollectives::DivideResult(const Call& call) const {
  if (call.op != ReduceOp::kAvg) return absl::OkStatus();
  const void* const sum[] = {call.out.data};
  ReduceProgram(1, {}, ReduceOp::kAvg, call.dtype(), size_, call.wire)
      .Run(sum, call.out.data, call.out.count);
  return absl::OkStatus();
}

}  // namespace lockstep::comm
