// The two-shot with a 16-bit wire: inputs travel packed, and so do results. What is packed is what the
// reduction rounds anyway, so the bits are those of the two-shot that moves fp32.
#include <algorithm>

#include "comm/p2p/collectives.h"

namespace lockstep::comm {
namespace {

constexpr size_t kPieceShare = size_t{64} << 10;  // elements of a rank's share of one piece

}  // namespace

absl::Status P2pCollectives::PackedTwoShot(const Call& call, const CallDescriptor& d) {
  const ReductionPlan& plan = plans_.For(call, size_);
  const Pointers<const void*> own = InputsOf(call);
  const size_t count = call.out.count, inputs = plan.inputs.size(), piece = kPieceShare * size_;
  auto* const out = static_cast<float*>(call.out.data);
  // This rank's inputs of a piece, packed; other ranks' inputs of this rank's share, packed and not; results.
  packed_.resize(own.size() * piece + (inputs + 1) * kPieceShare + piece);
  uint16_t* const packed_inputs = packed_.data();
  uint16_t* const received = packed_inputs + own.size() * piece;
  uint16_t* const packed_result = received + inputs * kPieceShare;
  uint16_t* const received_results = packed_result + kPieceShare;
  scratch_.resize(std::max(scratch_.size(), inputs * kPieceShare * sizeof(float)));
  auto* const unpacked = reinterpret_cast<float*>(scratch_.data());
  std::vector<const void*> terms(inputs);
  for (size_t begin = 0; begin < count; begin += piece) {
    const size_t n = std::min(piece, count - begin);
    const Share mine = ShareOf(n, rank_, size_);
    std::vector<Outgoing> sends;
    std::vector<Incoming> recvs;
    for (size_t i = 0; i < own.size(); ++i) {
      PackTo(call.wire, static_cast<const float*>(own[i]) + begin, packed_inputs + i * piece, n);
    }
    for (int step = 1; step < size_; ++step) {
      const int peer = (rank_ + step) % size_;
      const Share theirs = ShareOf(n, peer, size_);
      for (size_t i = 0; i < own.size(); ++i) {
        sends.push_back(
            {peer, packed_inputs + i * piece + theirs.begin, theirs.count() * sizeof(uint16_t), d});
      }
    }
    for (size_t i = 0; i < inputs; ++i) {
      const auto [owner, index] = plan.inputs[i];
      if (owner == rank_) {
        terms[i] = static_cast<const float*>(own[index]) + begin + mine.begin;
        continue;
      }
      terms[i] = unpacked + i * kPieceShare;
      recvs.push_back({owner, received + i * kPieceShare, mine.count() * sizeof(uint16_t), d});
    }
    RETURN_IF_ERROR(transport_.Exchange(sends, recvs, "reduce-scatter"));
    for (size_t i = 0; i < inputs; ++i) {
      if (plan.inputs[i].owner == rank_) continue;
      UnpackFrom(call.wire, received + i * kPieceShare, unpacked + i * kPieceShare, mine.count());
    }
    plan.program->Run(terms.data(), out + begin + mine.begin, mine.count());
    PackTo(call.wire, out + begin + mine.begin, packed_result, mine.count());
    sends.clear();
    recvs.clear();
    for (int step = 1; step < size_; ++step) {
      const int to = (rank_ + step) % size_, from = (rank_ + size_ - step) % size_;
      const Share theirs = ShareOf(n, from, size_);
      sends.push_back({to, packed_result, mine.count() * sizeof(uint16_t), d});
      recvs.push_back({from, received_results + theirs.begin, theirs.count() * sizeof(uint16_t), d});
    }
    RETURN_IF_ERROR(transport_.Exchange(sends, recvs, "all-gather"));
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_) continue;
      const Share theirs = ShareOf(n, peer, size_);
      UnpackFrom(call.wire, received_results + theirs.begin, out + begin + theirs.begin, theirs.count());
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep::comm
