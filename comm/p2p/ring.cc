// The ring. Vocabulary: the array is cut into one *chunk* a rank; a chunk travels in *segments*, so that what
// has just been received is added while it is still in the cache. Reduce-scatter: in step s rank r sends
// chunk r-s and receives chunk r-s-1, adding its own; after p-1 steps it holds the sum of chunk r+1.
// All-gather: the sums go round once more.
#include <algorithm>
#include <cstring>
#include <vector>

#include "comm/p2p/collectives.h"

namespace lockstep::comm {
namespace {

struct Ring {
  Transport& transport;
  const CallDescriptor descriptor;
  const int rank, size;
  const size_t count, element;  // elements; bytes of one
  const size_t segment_bytes;
  const std::byte* in;
  std::byte* out;

  int next() const { return (rank + 1) % size; }
  int previous() const { return (rank + size - 1) % size; }
  int Wrap(int chunk) const { return ((chunk % size) + size) % size; }
  // Segment k of a chunk; empty past its end.
  Share Segment(int chunk, size_t k) const {
    const Share whole = ShareOf(count, chunk, size);
    const size_t step = segment_bytes / element;
    return {std::min(whole.end, whole.begin + k * step), std::min(whole.end, whole.begin + (k + 1) * step)};
  }

  // Sends one segment to the next rank while receiving another from the previous one; either may be empty.
  absl::Status Pass(const std::byte* from, Share send, std::byte* to, Share recv, const char* phase) const {
    const Outgoing outgoing{next(), from, send.count() * element, descriptor};
    const Incoming incoming{previous(), to, recv.count() * element, descriptor};
    return transport.Exchange({&outgoing, send.count() > 0 ? 1u : 0u},
                              {&incoming, recv.count() > 0 ? 1u : 0u}, phase);
  }

  absl::Status ReduceScatter(const ReduceProgram& add) const {
    std::vector<std::byte> received(std::min(segment_bytes, (count / size + 32) * element));
    for (int step = 0; step + 1 < size; ++step) {
      const int sent = Wrap(rank - step), got = Wrap(rank - step - 1);
      const std::byte* source = step == 0 ? in : out;  // later steps pass on sums
      for (size_t k = 0;; ++k) {
        const Share send = Segment(sent, k), recv = Segment(got, k);
        if (send.count() == 0 && recv.count() == 0) break;
        RETURN_IF_ERROR(Pass(source + send.begin * element, send, received.data(), recv, "reduce-scatter"));
        const void* const terms[] = {received.data(), in + recv.begin * element};
        add.Run(terms, out + recv.begin * element, recv.count());
      }
    }
    return absl::OkStatus();
  }

  absl::Status AllGather() const {
    for (int step = 0; step + 1 < size; ++step) {
      const int sent = Wrap(rank + 1 - step), got = Wrap(rank - step);
      for (size_t k = 0;; ++k) {
        const Share send = Segment(sent, k), recv = Segment(got, k);
        if (send.count() == 0 && recv.count() == 0) break;
        RETURN_IF_ERROR(
            Pass(out + send.begin * element, send, out + recv.begin * element, recv, "all-gather"));
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace

absl::Status P2pCollectives::RingAllReduce(const Call& call, const CallDescriptor& d) {
  const Ring ring{transport_,
                  d,
                  rank_,
                  size_,
                  call.out.count,
                  SizeOf(call.out.dtype),
                  ring_segment_bytes_,
                  static_cast<const std::byte*>(call.in.data),
                  static_cast<std::byte*>(call.out.data)};
  const ReduceOp op = call.op == ReduceOp::kAvg ? ReduceOp::kSum : call.op;
  RETURN_IF_ERROR(ring.ReduceScatter(ReduceProgram(2, {{0, 1}}, op, call.out.dtype)));
  if (call.op == ReduceOp::kAvg) {
    const Share mine = ShareOf(ring.count, ring.Wrap(rank_ + 1), size_);
    const void* const sum[] = {ring.out + mine.begin * ring.element};
    ReduceProgram(1, {}, ReduceOp::kAvg, call.out.dtype, size_)
        .Run(sum, ring.out + mine.begin * ring.element, mine.count());
  }
  return ring.AllGather();
}

// In step s a rank passes on the sum of part r-s-1, which then has s+1 inputs, and receives that of part
// r-s-2, to which it adds its own; the last that it receives is its own part.
absl::Status P2pCollectives::RingReduceScatter(const Call& call, const CallDescriptor& d) {
  const size_t element = SizeOf(call.dtype()), longest_bytes = LongestPart(call, size_) * element;
  const auto* const in = static_cast<const std::byte*>(call.in.data);
  const ReduceOp op = call.op == ReduceOp::kAvg ? ReduceOp::kSum : call.op;
  const ReduceProgram add(2, {{0, 1}}, op, call.dtype());
  scratch_.resize(std::max(scratch_.size(), 2 * longest_bytes));
  std::byte* const received = scratch_.data();
  std::byte* const sum = scratch_.data() + longest_bytes;
  const auto part = [&](int index) { return PartOf(call, ((index % size_) + size_) % size_, size_); };
  const std::byte* held = in + part(rank_ - 1).begin * element;
  for (int step = 0; step + 1 < size_; ++step) {
    const Share sent = part(rank_ - step - 1), got = part(rank_ - step - 2);
    const Outgoing outgoing{(rank_ + 1) % size_, held, sent.count() * element, d};
    const Incoming incoming{(rank_ + size_ - 1) % size_, received, got.count() * element, d};
    RETURN_IF_ERROR(transport_.Exchange({&outgoing, 1}, {&incoming, 1}, "reduce-scatter"));
    const bool last = step + 2 == size_;
    const void* const terms[] = {received, in + got.begin * element};
    add.Run(terms, last ? call.out.data : sum, got.count());
    held = sum;
  }
  return DivideResult(call);
}

absl::Status P2pCollectives::RingAllGather(const Call& call, const CallDescriptor& d) {
  const size_t element = SizeOf(call.dtype());
  auto* const out = static_cast<std::byte*>(call.out.data);
  const auto part = [&](int index) { return PartOf(call, ((index % size_) + size_) % size_, size_); };
  CopyBytes(out + part(rank_).begin * element, call.in.data, call.in.count * element);
  for (int step = 0; step + 1 < size_; ++step) {
    const Share sent = part(rank_ - step), got = part(rank_ - step - 1);
    const Outgoing outgoing{(rank_ + 1) % size_, out + sent.begin * element, sent.count() * element, d};
    const Incoming incoming{(rank_ + size_ - 1) % size_, out + got.begin * element, got.count() * element, d};
    RETURN_IF_ERROR(transport_.Exchange({&outgoing, 1}, {&incoming, 1}, "all-gather"));
  }
  return absl::OkStatus();
}

absl::Status RunMessages(Transport& transport, const Call& call, const RunContext& context, int rank) {
  // Both ends describe a message as a send, numbered by what went from one to the other before.
  const auto describe = [](ConstBuffer buffer, uint64_t sequence) {
    CallDescriptor d;
    d.kind = static_cast<uint8_t>(Collective::kSend);
    d.dtype = static_cast<uint8_t>(buffer.dtype);
    d.count = buffer.count;
    d.sequence = sequence;
    return d;
  };
  if (call.to == rank) {  // and from this rank too: validated
    if (call.out.count > 0) std::memcpy(call.out.data, call.in.data, call.out.count * SizeOf(call.out.dtype));
    return absl::OkStatus();
  }
  const Outgoing send{call.to, call.in.data, call.in.count * SizeOf(call.in.dtype),
                      describe(call.in, context.send_sequence)};
  const Incoming recv{call.from, call.out.data, call.out.count * SizeOf(call.out.dtype),
                      describe(call.out, context.recv_sequence)};
  return transport.Exchange({&send, call.kind != Collective::kRecv ? 1u : 0u},
                            {&recv, call.kind != Collective::kSend ? 1u : 0u}, "message");
}

}  // namespace lockstep::comm
