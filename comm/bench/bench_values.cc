#include "comm/bench/bench_values.h"

#include <numeric>

namespace lockstep::comm {
namespace {

// Ranks whose input at one element is not zero, where every sum is rounded to a 16-bit type on its way: sums
// of so few numbers of at most 2 are exact in bf16.
constexpr size_t kRanksOnNarrowWire = 64;

}  // namespace

uint64_t InputBits(const BenchPoint& point, int rank, size_t i) {
  uint64_t bits = (static_cast<uint64_t>(rank) * kPeriod + i + 1) * 0x9e3779b97f4a7c15u;
  bits = (bits ^ (bits >> 29)) * 0xbf58476d1ce4e5b9u;
  bits ^= bits >> 32;
  // A product of many even numbers would be zero, which hides much.
  return point.kind.reduces && point.op == ReduceOp::kProd ? bits | 1 : bits;
}

int64_t InputNumber(const BenchPoint& point, int rank, int ranks, size_t i) {
  const size_t r = rank, n = ranks;
  if (!point.kind.reduces) return static_cast<int64_t>((r * 31 + i) % 101);
  if (point.op == ReduceOp::kProd) return i % n == r ? 2 : (r + i) % 3 == 0 ? -1 : 1;
  if (point.wire != Wire::kFull && (r + i) % n >= kRanksOnNarrowWire) return 0;
  return static_cast<int64_t>((r + i) % 5) - 2;
}

int64_t ReducedNumber(const BenchPoint& point, int ranks, size_t i) {
  int64_t result = InputNumber(point, 0, ranks, i);
  for (int rank = 1; rank < ranks; ++rank) {
    const int64_t value = InputNumber(point, rank, ranks, i);
    if (point.op == ReduceOp::kSum || point.op == ReduceOp::kAvg) result += value;
    if (point.op == ReduceOp::kProd) result *= value;
    if (point.op == ReduceOp::kMin) result = std::min(result, value);
    if (point.op == ReduceOp::kMax) result = std::max(result, value);
  }
  return result;
}

std::vector<Piece> ExpectedPieces(const BenchPoint& p, int rank, int ranks) {
  const Share own = PartOfRank(p, rank, ranks);
  std::vector<Piece> pieces;
  switch (p.kind.collective) {
    case Collective::kReduceScatter:
      return {{0, own.count(), -1, own.begin}};
    case Collective::kReduce:
      return rank == p.root ? std::vector<Piece>{{0, p.count, -1, 0}} : std::vector<Piece>{};
    case Collective::kBroadcast:
      return {{0, p.count, p.root, 0}};
    case Collective::kScatter:
      return {{0, own.count(), p.root, own.begin}};
    case Collective::kSendRecv:
      return {{0, p.count, (rank + ranks - 1) % ranks, 0}};
    case Collective::kGather:
    case Collective::kAllGather:
      if (p.kind.collective == Collective::kGather && rank != p.root) return {};
      for (int from = 0; from < ranks; ++from) {
        const Share part = PartOfRank(p, from, ranks);
        pieces.push_back({part.begin, part.count(), from, 0});
      }
      return pieces;
    case Collective::kAllToAll: {
      size_t begin = 0;
      for (int from = 0; from < ranks; ++from) {
        const std::vector<size_t> sent = CountsOf(p, from, ranks);
        pieces.push_back(
            {begin, sent[rank], from, std::accumulate(sent.begin(), sent.begin() + rank, size_t{0})});
        begin += sent[rank];
      }
      return pieces;
    }
    default:  // kAllReduce, kReduceLanes
      return {{0, p.count, -1, 0}};
  }
}

}  // namespace lockstep::comm
