// Binomial trees, for what is small: ranks are counted from the root; in step s of a reduction each rank whose
// number is an odd multiple of 2^s gives its sum to the one 2^s before it, and a broadcast goes the same way
// back. ceil(log2 p) steps of n bytes. And a chain, for broadcasts of much: each rank passes on by segments.
#include <algorithm>

#include "comm/p2p/collectives.h"

namespace lockstep::comm {
namespace {

constexpr size_t kSegmentBytes = size_t{256} << 10;

}  // namespace

absl::Status P2pCollectives::TreeReduce(const Call& call, const CallDescriptor& d, int root) {
  const size_t bytes = call.in.count * SizeOf(call.dtype());
  const int relative = (rank_ - root + size_) % size_;
  const ReduceOp op = call.op == ReduceOp::kAvg ? ReduceOp::kSum : call.op;
  const ReduceProgram add(2, {{0, 1}}, op, call.dtype(), 1, call.wire);
  // Received and summed. Only who takes a result has an `out` to sum in.
  const bool takes = call.kind == Collective::kAllReduce || rank_ == root;
  scratch_.resize(std::max(scratch_.size(), 2 * bytes));
  std::byte* const received = scratch_.data();
  void* const sum = takes ? call.out.data : static_cast<void*>(scratch_.data() + bytes);
  const void* held = call.in.data;
  for (int step = 1; step < size_; step *= 2) {
    if ((relative & step) != 0) {
      const Outgoing send{(rank_ - step + size_) % size_, held, bytes, d};
      RETURN_IF_ERROR(transport_.Exchange({&send, 1}, {}, "reduce"));
      break;
    }
    if (relative + step >= size_) continue;
    const Incoming recv{(rank_ + step) % size_, received, bytes, d};
    RETURN_IF_ERROR(transport_.Exchange({}, {&recv, 1}, "reduce"));
    const void* const terms[] = {held, received};
    add.Run(terms, sum, call.in.count);
    held = sum;
  }
  if (relative != 0) return absl::OkStatus();
  if (held != call.out.data) CopyBytes(call.out.data, held, bytes);
  return DivideResult(call);
}

absl::Status P2pCollectives::TreeBroadcast(void* data, size_t bytes, int root, const CallDescriptor& d) {
  const int relative = (rank_ - root + size_) % size_;
  int step = 1;  // the farthest: twice that is beyond everyone
  while (step * 2 < size_) step *= 2;
  for (bool has = relative == 0; step > 0; step /= 2) {
    if (has && relative + step < size_ && relative % (2 * step) == 0) {
      const Outgoing send{(rank_ + step) % size_, data, bytes, d};
      RETURN_IF_ERROR(transport_.Exchange({&send, 1}, {}, "broadcast"));
    } else if (!has && relative % step == 0) {
      const Incoming recv{(rank_ - step + size_) % size_, data, bytes, d};
      RETURN_IF_ERROR(transport_.Exchange({}, {&recv, 1}, "broadcast"));
      has = true;
    }
  }
  return absl::OkStatus();
}

absl::Status P2pCollectives::ChainBroadcast(void* data, size_t bytes, int root, const CallDescriptor& d) {
  const int relative = (rank_ - root + size_) % size_;
  const int next = (rank_ + 1) % size_, previous = (rank_ + size_ - 1) % size_;
  const bool receives = relative > 0, sends = relative + 1 < size_;
  const size_t segments = std::max<size_t>(1, (bytes + kSegmentBytes - 1) / kSegmentBytes);
  const auto segment = [&](size_t k) {
    const size_t begin = std::min(bytes, k * kSegmentBytes);
    return Share{begin, std::min(bytes, begin + kSegmentBytes)};
  };
  // Segment k comes while segment k-1 goes on; the root has them all.
  for (size_t k = 0; k <= segments; ++k) {
    auto* const at = static_cast<std::byte*>(data);
    const bool takes = receives && k < segments, gives = sends && k > 0;
    const Share in = segment(k), out = segment(k == 0 ? 0 : k - 1);
    const Incoming recv{previous, at + in.begin, in.count(), d};
    const Outgoing send{next, at + out.begin, out.count(), d};
    RETURN_IF_ERROR(transport_.Exchange({&send, gives ? 1u : 0u}, {&recv, takes ? 1u : 0u}, "broadcast"));
  }
  return absl::OkStatus();
}

// The root scatters shares, everyone gathers them: 2 steps, 2 n (p-1)/p bytes at the busiest rank.
absl::Status P2pCollectives::ScatterBroadcast(void* data, size_t bytes, int root, const CallDescriptor& d) {
  auto* const at = static_cast<std::byte*>(data);
  std::vector<Outgoing> sends;
  std::vector<Incoming> recvs;
  const Share mine = ShareOf(bytes, rank_, size_);
  for (int step = 1; step < size_; ++step) {
    const int peer = (rank_ + step) % size_;
    const Share theirs = ShareOf(bytes, peer, size_);
    if (rank_ == root) sends.push_back({peer, at + theirs.begin, theirs.count(), d});
  }
  if (rank_ != root) recvs.push_back({root, at + mine.begin, mine.count(), d});
  RETURN_IF_ERROR(transport_.Exchange(sends, recvs, "scatter"));
  sends.clear();
  recvs.clear();
  for (int step = 1; step < size_; ++step) {
    const int to = (rank_ + step) % size_, from = (rank_ + size_ - step) % size_;
    const Share theirs = ShareOf(bytes, from, size_);
    if (to != root) sends.push_back({to, at + mine.begin, mine.count(), d});
    if (rank_ != root) recvs.push_back({from, at + theirs.begin, theirs.count(), d});
  }
  return transport_.Exchange(sends, recvs, "all-gather");
}

}  // namespace lockstep::comm
