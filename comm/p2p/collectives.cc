#include "comm/p2p/collectives.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace lockstep::comm {
namespace {

// A rank's share of one piece of a two-shot: what it receives, it adds while it is in the cache.
constexpr size_t kPieceShareBytes = size_t{256} << 10;

const std::byte* At(const void* data, size_t offset) { return static_cast<const std::byte*>(data) + offset; }
std::byte* At(void* data, size_t offset) { return static_cast<std::byte*>(data) + offset; }

void Copy(void* to, const void* from, size_t size_bytes) {
  if (to != from && size_bytes > 0) std::memcpy(to, from, size_bytes);
}

}  // namespace

struct P2pCollectives::Reduction {
  Pointers<const void*> inputs;  // this rank's
  void* out;                     // null: this rank takes no result
  size_t count, element;
  const ReductionPlan& plan;
};

absl::Status P2pCollectives::Run(const Call& call, RunContext& context) {
  const CallDescriptor& d = context.descriptor;
  const Algorithm algorithm =
      call.algorithm == Algorithm::kAuto ? ChooseAlgorithm(call, size_, model_) : call.algorithm;
  context.ran = algorithm;
  switch (call.kind) {
    case Collective::kBarrier:
      return Barrier(d);
    case Collective::kAllReduce:
    case Collective::kReduceLanes:
    case Collective::kReduce:
      return Reduce(call, algorithm, d);
    case Collective::kReduceScatter:
      return algorithm == Algorithm::kRing ? RingReduceScatter(call, d) : ReduceScatter(call, d);
    case Collective::kAllGather:
      return algorithm == Algorithm::kRing ? RingAllGather(call, d) : AllGather(call, d);
    case Collective::kBroadcast:
      return Broadcast(call, algorithm, d);
    case Collective::kGather:
      return Gather(call, d);
    case Collective::kScatter:
      return Scatter(call, d);
    case Collective::kAllToAll:
      return AllToAll(call, d);
    case Collective::kSend:
    case Collective::kRecv:
    case Collective::kSendRecv:
      return RunMessages(transport_, call, context, rank_);
  }
  return absl::InternalError("unknown collective");
}

absl::Status P2pCollectives::Reduce(const Call& call, Algorithm algorithm, const CallDescriptor& d) {
  const bool rooted = call.kind == Collective::kReduce;
  const Reduction r{InputsOf(call), !rooted || call.root == rank_ ? call.out.data : nullptr,
                    call.kind == Collective::kReduceLanes ? call.out.count : call.in.count,
                    SizeOf(call.dtype()), plans_.For(call, size_)};
  switch (algorithm) {
    case Algorithm::kOneShot:
      return OneShot(r, d);
    case Algorithm::kRing:
      return RingAllReduce(call, d);
    case Algorithm::kHalvingDoubling:
      return HalvingDoubling(call, d);
    case Algorithm::kTree:
      RETURN_IF_ERROR(TreeReduce(call, d, rooted ? call.root : 0));
      if (rooted) return absl::OkStatus();
      return TreeBroadcast(call.out.data, r.count * r.element, 0, d);
    default:
      return call.wire == Wire::kFull ? TwoShot(r, d, rooted ? call.root : -1) : PackedTwoShot(call, d);
  }
}

absl::Status P2pCollectives::OneShot(const Reduction& r, const CallDescriptor& d) {
  const size_t bytes = r.count * r.element;
  scratch_.resize(std::max(scratch_.size(), bytes * r.plan.inputs.size()));
  std::vector<Outgoing> sends;
  std::vector<Incoming> recvs;
  std::vector<const void*> terms(r.plan.inputs.size());
  for (int k = 1; k < size_; ++k) {
    for (const void* input : r.inputs) sends.push_back({(rank_ + k) % size_, input, bytes, d});
  }
  for (size_t i = 0; i < terms.size(); ++i) {
    const auto [owner, index] = r.plan.inputs[i];
    terms[i] = owner == rank_ ? r.inputs[index] : At(scratch_.data(), i * bytes);
    if (owner != rank_) recvs.push_back({owner, At(scratch_.data(), i * bytes), bytes, d});
  }
  RETURN_IF_ERROR(transport_.Exchange(sends, recvs, "exchange"));
  r.plan.program->Run(terms.data(), r.out, r.count);
  return absl::OkStatus();
}

// Piece k's shares go to their owners while piece k-1's results go back. In place is safe: a rank's result
// overwrites a share of its input only after that share was sent, one step earlier.
absl::Status P2pCollectives::TwoShot(const Reduction& r, const CallDescriptor& d, int root) {
  const size_t share_elements = kPieceShareBytes / r.element;
  const size_t piece = share_elements * size_;
  const size_t inputs = r.plan.inputs.size(), slot_bytes = share_elements * r.element;
  // A slot for each input of other ranks, and two for results that do not go straight into `out`.
  scratch_.resize(std::max(scratch_.size(), (inputs + 2) * slot_bytes));
  const auto result_of = [&](size_t begin) {
    const Share mine = ShareOf(std::min(piece, r.count - begin), rank_, size_);
    if (r.out != nullptr) return At(r.out, (begin + mine.begin) * r.element);
    return At(scratch_.data(), (inputs + begin / piece % 2) * slot_bytes);
  };
  const size_t pieces = (r.count + piece - 1) / piece;
  std::vector<const void*> terms(inputs);
  for (size_t k = 0; k <= pieces; ++k) {
    std::vector<Outgoing> sends;
    std::vector<Incoming> recvs;
    if (k < pieces) {
      const size_t begin = k * piece, n = std::min(piece, r.count - begin);
      const Share mine = ShareOf(n, rank_, size_);
      for (int step = 1; step < size_; ++step) {
        const int peer = (rank_ + step) % size_;
        const Share theirs = ShareOf(n, peer, size_);
        for (const void* input : r.inputs) {
          sends.push_back(
              {peer, At(input, (begin + theirs.begin) * r.element), theirs.count() * r.element, d});
        }
      }
      for (size_t i = 0; i < inputs; ++i) {
        const auto [owner, index] = r.plan.inputs[i];
        if (owner == rank_) {
          terms[i] = At(r.inputs[index], (begin + mine.begin) * r.element);
        } else {
          terms[i] = At(scratch_.data(), i * slot_bytes);
          recvs.push_back({owner, At(scratch_.data(), i * slot_bytes), mine.count() * r.element, d});
        }
      }
    }
    if (k > 0) {
      const size_t begin = (k - 1) * piece, n = std::min(piece, r.count - begin);
      const Share mine = ShareOf(n, rank_, size_);
      for (int step = 1; step < size_; ++step) {
        const int peer = (rank_ + step) % size_;
        const Share theirs = ShareOf(n, peer, size_);
        if (root < 0 || root == peer) sends.push_back({peer, result_of(begin), mine.count() * r.element, d});
        if (r.out != nullptr) {
          recvs.push_back(
              {peer, At(r.out, (begin + theirs.begin) * r.element), theirs.count() * r.element, d});
        }
      }
    }
    RETURN_IF_ERROR(transport_.Exchange(sends, recvs, k < pieces ? "reduce-scatter" : "all-gather"));
    if (k < pieces) {
      const Share mine = ShareOf(std::min(piece, r.count - k * piece), rank_, size_);
      r.plan.program->Run(terms.data(), result_of(k * piece), mine.count());
    }
  }
  return absl::OkStatus();
}

absl::Status P2pCollectives::ReduceScatter(const Call& call, const CallDescriptor& d) {
  const size_t element = SizeOf(call.dtype()), longest = LongestPart(call, size_);
  const size_t piece = kPieceShareBytes / element, slot_bytes = piece * element;
  const ReductionPlan& plan = plans_.For(call, size_);
  const Pointers<const void*> inputs = InputsOf(call);  // this rank's
  const size_t terms_count = plan.inputs.size();
  scratch_.resize(std::max(scratch_.size(), terms_count * slot_bytes));
  std::vector<const void*> terms(terms_count);
  // Piece by piece of every part at once; a part that is done sends and receives nothing.
  const auto piece_of = [&](int rank, size_t begin) {
    const Share part = PartOf(call, rank, size_);
    return Share{std::min(part.begin + begin, part.end), std::min(part.begin + begin + piece, part.end)};
  };
  for (size_t begin = 0; begin < std::max<size_t>(longest, 1); begin += piece) {
    const Share mine = piece_of(rank_, begin);
    std::vector<Outgoing> sends;
    std::vector<Incoming> recvs;
    for (int step = 1; step < size_; ++step) {
      const int peer = (rank_ + step) % size_;
      const Share theirs = piece_of(peer, begin);
      for (const void* input : inputs) {
        sends.push_back({peer, At(input, theirs.begin * element), theirs.count() * element, d});
      }
    }
    for (size_t i = 0; i < terms_count; ++i) {
      const auto [owner, index] = plan.inputs[i];
      if (owner == rank_) {
        terms[i] = At(inputs[index], mine.begin * element);
        continue;
      }
      terms[i] = At(scratch_.data(), i * slot_bytes);
      recvs.push_back({owner, At(scratch_.data(), i * slot_bytes), mine.count() * element, d});
    }
    RETURN_IF_ERROR(transport_.Exchange(sends, recvs, "reduce-scatter"));
    if (mine.count() > 0) plan.program->Run(terms.data(), At(call.out.data, begin * element), mine.count());
  }
  return absl::OkStatus();
}

absl::Status P2pCollectives::AllGather(const Call& call, const CallDescriptor& d) {
  const size_t element = SizeOf(call.dtype()), bytes = call.in.count * element;
  std::vector<Outgoing> sends;
  std::vector<Incoming> recvs;
  for (int step = 1; step < size_; ++step) {
    sends.push_back({(rank_ + step) % size_, call.in.data, bytes, d});
    const int from = (rank_ + size_ - step) % size_;
    const Share part = PartOf(call, from, size_);
    recvs.push_back({from, At(call.out.data, part.begin * element), part.count() * element, d});
  }
  Copy(At(call.out.data, PartOf(call, rank_, size_).begin * element), call.in.data, bytes);
  return transport_.Exchange(sends, recvs, "all-gather");
}

absl::Status P2pCollectives::Broadcast(const Call& call, Algorithm algorithm, const CallDescriptor& d) {
  void* const data = call.out.data;
  const size_t bytes = call.out.count * SizeOf(call.dtype());
  switch (algorithm) {
    case Algorithm::kOneShot:
      return FlatBroadcast(data, bytes, call.root, d);
    case Algorithm::kTwoShot:
      return ScatterBroadcast(data, bytes, call.root, d);
    case Algorithm::kRing:
      return ChainBroadcast(data, bytes, call.root, d);
    default:
      return TreeBroadcast(data, bytes, call.root, d);
  }
}

absl::Status P2pCollectives::FlatBroadcast(void* data, size_t bytes, int root, const CallDescriptor& d) {
  if (rank_ != root) {
    const Incoming recv{root, data, bytes, d};
    return transport_.Exchange({}, {&recv, 1}, "broadcast");
  }
  std::vector<Outgoing> sends;
  for (int step = 1; step < size_; ++step) sends.push_back({(rank_ + step) % size_, data, bytes, d});
  return transport_.Exchange(sends, {}, "broadcast");
}

absl::Status P2pCollectives::Gather(const Call& call, const CallDescriptor& d) {
  const size_t element = SizeOf(call.dtype()), bytes = call.in.count * element;
  if (rank_ != call.root) {
    const Outgoing send{call.root, call.in.data, bytes, d};
    return transport_.Exchange({&send, 1}, {}, "gather");
  }
  std::vector<Incoming> recvs;
  for (int peer = 0; peer < size_; ++peer) {
    const Share part = PartOf(call, peer, size_);
    void* const to = At(call.out.data, part.begin * element);
    if (peer == rank_) {
      Copy(to, call.in.data, bytes);
    } else {
      recvs.push_back({peer, to, part.count() * element, d});
    }
  }
  return transport_.Exchange({}, recvs, "gather");
}

absl::Status P2pCollectives::Scatter(const Call& call, const CallDescriptor& d) {
  const size_t element = SizeOf(call.dtype()), bytes = call.out.count * element;
  if (rank_ != call.root) {
    const Incoming recv{call.root, call.out.data, bytes, d};
    return transport_.Exchange({}, {&recv, 1}, "scatter");
  }
  std::vector<Outgoing> sends;
  for (int peer = 0; peer < size_; ++peer) {
    const Share part = PartOf(call, peer, size_);
    const void* const from = At(call.in.data, part.begin * element);
    if (peer == rank_) {
      Copy(call.out.data, from, bytes);
    } else {
      sends.push_back({peer, from, part.count() * element, d});
    }
  }
  return transport_.Exchange(sends, {}, "scatter");
}

absl::Status P2pCollectives::AllToAll(const Call& call, const CallDescriptor& d) {
  const size_t element = SizeOf(call.dtype());
  const void* in = call.in.data;
  if (call.in.data == call.out.data) {  // what is received would overwrite what is still to be sent
    scratch_.resize(std::max(scratch_.size(), call.in.count * element));
    Copy(scratch_.data(), call.in.data, call.in.count * element);
    in = scratch_.data();
  }
  std::vector<Outgoing> sends;
  std::vector<Incoming> recvs;
  for (int step = 0; step < size_; ++step) {
    const int to = (rank_ + step) % size_, from = (rank_ + size_ - step) % size_;
    const Share sent = PartOf(call, to, size_), got = ReceivedPartOf(call, from, size_);
    if (step == 0) {
      if (sent.count() != got.count()) {
        return absl::InvalidArgumentError(absl::StrCat("all_to_all_v: this rank sends itself ", sent.count(),
                                                       " elements and expects ", got.count()));
      }
      Copy(At(call.out.data, got.begin * element), At(in, sent.begin * element), sent.count() * element);
      continue;
    }
    sends.push_back({to, At(in, sent.begin * element), sent.count() * element, d});
    recvs.push_back({from, At(call.out.data, got.begin * element), got.count() * element, d});
  }
  return transport_.Exchange(sends, recvs, "all-to-all");
}

// In round s every rank tells the one 2^s further on and hears from the one 2^s before it.
absl::Status P2pCollectives::Barrier(const CallDescriptor& d) {
  for (int step = 1; step < size_; step *= 2) {
    const Outgoing send{(rank_ + step) % size_, nullptr, 0, d};
    const Incoming recv{(rank_ - step + size_) % size_, nullptr, 0, d};
    RETURN_IF_ERROR(transport_.Exchange({&send, 1}, {&recv, 1}, "barrier"));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::comm
