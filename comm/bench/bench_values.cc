#include "comm/bench/bench_values.h"

namespace lockstep::comm {

int64_t InputNumber(const BenchPoint& point, int rank, int ranks, size_t i) {
  if (!point.kind.reduces) return static_cast<int64_t>((static_cast<size_t>(rank) * 31 + i) % 101);
  if (point.op == ReduceOp::kProd) return i % ranks == static_cast<size_t>(rank) ? 2 : 1;
  return static_cast<int64_t>((static_cast<size_t>(rank) + i) % 5);
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
  const size_t n = p.count;
  std::vector<Piece> pieces;
  switch (p.kind.collective) {
    case Collective::kReduceScatter:
      return {{0, n, -1, rank * n}};
    case Collective::kReduce:
      return rank == p.root ? std::vector<Piece>{{0, n, -1, 0}} : std::vector<Piece>{};
    case Collective::kBroadcast:
      return {{0, n, p.root, 0}};
    case Collective::kScatter:
      return {{0, n, p.root, rank * n}};
    case Collective::kSendRecv:
      return {{0, n, (rank + ranks - 1) % ranks, 0}};
    case Collective::kGather:
    case Collective::kAllGather:
    case Collective::kAllToAll:
      if (p.kind.collective == Collective::kGather && rank != p.root) return {};
      for (int from = 0; from < ranks; ++from) {
        pieces.push_back({from * n, n, from, p.kind.collective == Collective::kAllToAll ? rank * n : 0});
      }
      return pieces;
    default:  // kAllReduce, kReduceLanes
      return {{0, n, -1, 0}};
  }
}

}  // namespace lockstep::comm
