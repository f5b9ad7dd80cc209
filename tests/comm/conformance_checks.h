// What the conformance tests check of a communicator, by plain loops: for ranks as threads (conformance_test,
// conformance_parts_test) and as processes (conform_main). Inputs are small whole numbers, so that every
// expected value is exact in every type.
#ifndef LOCKSTEP_TESTS_COMM_CONFORMANCE_CHECKS_H_
#define LOCKSTEP_TESTS_COMM_CONFORMANCE_CHECKS_H_

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "comm/communicator.h"
#include "comm/reduce/half.h"

namespace lockstep::comm {

template <typename T>
T FromNumber(int64_t value) {
  if constexpr (std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>) {
    T out;
    FromFloat(static_cast<float>(value), out);
    return out;
  } else {
    return static_cast<T>(value);
  }
}

template <typename T>
bool Same(T a, T b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// What rank `rank` contributes at element i.
inline int64_t Number(ReduceOp op, int rank, size_t i) {
  if (op == ReduceOp::kProd) return 1 + (rank + static_cast<int>(i)) % 2;
  return (rank * 7 + static_cast<int>(i % 1000) * 3) % 12;
}

template <typename T>
T Expected(ReduceOp op, int ranks, size_t i) {
  int64_t result = Number(op, 0, i);
  for (int rank = 1; rank < ranks; ++rank) {
    const int64_t value = Number(op, rank, i);
    if (op == ReduceOp::kSum || op == ReduceOp::kAvg) result += value;
    if (op == ReduceOp::kProd) result *= value;
    if (op == ReduceOp::kMin) result = std::min(result, value);
    if (op == ReduceOp::kMax) result = std::max(result, value);
  }
  if (op != ReduceOp::kAvg) return FromNumber<T>(result);
  if constexpr (std::is_integral_v<T>) return static_cast<T>(static_cast<T>(result) / static_cast<T>(ranks));
  if constexpr (std::is_same_v<T, double>) return static_cast<double>(result) / ranks;
  const float average = static_cast<float>(result) / static_cast<float>(ranks);
  if constexpr (std::is_same_v<T, float>) {
    return average;
  } else if constexpr (sizeof(T) == 2) {
    T out;
    FromFloat(average, out);
    return out;
  }
  return {};
}

// Memory of `count` elements: in a peer buffer, or ordinary memory at an odd address (of the type's
// alignment).
template <typename T>
struct Memory {
  Memory(Communicator& comm, size_t count, bool peer) : plain(peer ? 0 : count + 1) {
    if (peer) buffer = *comm.AllocatePeerBuffer((count + 1) * sizeof(T));
    values = absl::Span<T>((peer ? buffer.as<T>().data() : plain.data()) + 1, count);
  }
  std::vector<T> plain;
  PeerBuffer buffer;
  absl::Span<T> values;
};

template <typename T>
absl::Status Check(absl::string_view what, absl::Span<const T> got, const std::vector<T>& want) {
  for (size_t i = 0; i < want.size(); ++i) {
    if (Same(got[i], want[i])) continue;
    return absl::InternalError(
        absl::StrCat(what, " ", NameOf(kDTypeOf<T>), ": element ", i, " of ", want.size(), " is wrong"));
  }
  return absl::OkStatus();
}

inline std::vector<size_t> Counts(int ranks, bool large) {
  std::vector<size_t> counts{0, 1, static_cast<size_t>(ranks - 1), 17, 1000};
  if (large) counts.push_back(ranks <= 3 ? 150001 : 66001);  // several pieces of the staging areas
  return counts;
}

inline constexpr ReduceOp kOps[] = {ReduceOp::kSum, ReduceOp::kAvg, ReduceOp::kProd, ReduceOp::kMin,
                                    ReduceOp::kMax};

template <typename T>
absl::Status Reductions(Communicator& comm, size_t count, ReduceOp op, bool in_place, bool peer) {
  const int ranks = comm.size(), rank = comm.rank();
  const std::string what = absl::StrCat("count ", count, " op ", static_cast<int>(op),
                                        in_place ? " in place" : "", peer ? " peer" : "");
  Memory<T> in(comm, count * ranks, peer), out(comm, count * ranks, peer);
  const auto fill = [&] {
    for (size_t i = 0; i < in.values.size(); ++i) in.values[i] = FromNumber<T>(Number(op, rank, i));
  };
  std::vector<T> want(count), want_mine(count);
  for (size_t i = 0; i < count; ++i) {
    want[i] = Expected<T>(op, ranks, i);
    want_mine[i] = Expected<T>(op, ranks, rank * count + i);
  }
  const auto first = in.values.subspan(0, count);
  const auto result = in_place ? first : out.values.subspan(0, count);
  fill();
  RETURN_IF_ERROR(comm.AllReduce(BufferOf(first), BufferOf(result), op));
  RETURN_IF_ERROR(Check<T>("all_reduce " + what, result, want));
  const int root = ranks - 1;
  fill();
  RETURN_IF_ERROR(comm.Reduce(BufferOf(first), BufferOf(result), op, root));
  if (rank == root) RETURN_IF_ERROR(Check<T>("reduce " + what, result, want));
  const auto mine = in_place ? in.values.subspan(rank * count, count) : result;
  fill();
  RETURN_IF_ERROR(comm.ReduceScatter(BufferOf(in.values), BufferOf(mine), op));
  return Check<T>("reduce_scatter " + what, mine, want_mine);
}

// Values over the whole range of an integer type: sums and products wrap around, and the greatest unsigned
// numbers are no negative ones. Libraries below may think otherwise: some saturate.
template <typename T>
absl::Status WholeRange(Communicator& comm) {
  const size_t count = 1021;
  const auto value = [](int rank, size_t i) {
    const uint64_t mixed = (i * 0x9e3779b97f4a7c15u) ^ (static_cast<uint64_t>(rank + 1) << 59);
    return i % 5 == 0 ? std::numeric_limits<T>::max() : static_cast<T>(mixed >> (i % 57));
  };
  std::vector<T> in(count), out(count), want(count);
  for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kProd, ReduceOp::kMin, ReduceOp::kMax}) {
    for (size_t i = 0; i < count; ++i) {
      in[i] = value(comm.rank(), i);
      want[i] = value(0, i);
      for (int rank = 1; rank < comm.size(); ++rank) {
        const T one = value(rank, i);
        const auto a = static_cast<uint64_t>(want[i]), b = static_cast<uint64_t>(one);
        want[i] = op == ReduceOp::kMin   ? std::min(want[i], one)
                  : op == ReduceOp::kMax ? std::max(want[i], one)
                                         : static_cast<T>(op == ReduceOp::kSum ? a + b : a * b);
      }
    }
    const std::string what = absl::StrCat("the whole range, op ", static_cast<int>(op));
    RETURN_IF_ERROR(comm.AllReduce(BufferOf(absl::MakeSpan(in)), BufferOf(absl::MakeSpan(out)), op));
    RETURN_IF_ERROR(Check<T>(what, out, want));
  }
  return absl::OkStatus();
}

inline absl::Status WholeRangeOfAll(Communicator& comm) {
  RETURN_IF_ERROR(WholeRange<uint8_t>(comm));
  RETURN_IF_ERROR(WholeRange<int8_t>(comm));
  RETURN_IF_ERROR(WholeRange<int32_t>(comm));
  RETURN_IF_ERROR(WholeRange<uint32_t>(comm));
  RETURN_IF_ERROR(WholeRange<int64_t>(comm));
  return WholeRange<uint64_t>(comm);
}

template <typename T>
absl::Status Moves(Communicator& comm, size_t count, bool in_place, bool peer) {
  const int ranks = comm.size(), rank = comm.rank(), root = ranks / 2;
  const std::string what = absl::StrCat("count ", count, in_place ? " in place" : "", peer ? " peer" : "");
  const auto value = [](int from, size_t i) {
    return FromNumber<T>(static_cast<int64_t>((from * 31 + i) % 101));
  };
  Memory<T> small(comm, count, peer), big(comm, count * ranks, peer), other(comm, count * ranks, peer);
  std::vector<T> all(count * ranks), one(count);
  for (size_t i = 0; i < all.size(); ++i)
    all[i] = value(static_cast<int>(i / std::max<size_t>(count, 1)), i % std::max<size_t>(count, 1));
  for (size_t i = 0; i < count; ++i) one[i] = value(rank, i);
  const auto part = big.values.subspan(rank * count, count);

  std::copy(one.begin(), one.end(), (in_place ? part : small.values).begin());
  RETURN_IF_ERROR(comm.AllGather(BufferOf(in_place ? part : small.values), BufferOf(big.values)));
  RETURN_IF_ERROR(Check<T>("all_gather " + what, big.values, all));

  std::fill(big.values.begin(), big.values.end(), FromNumber<T>(0));
  std::copy(one.begin(), one.end(), (in_place ? part : small.values).begin());
  RETURN_IF_ERROR(comm.Gather(BufferOf(in_place ? part : small.values), BufferOf(big.values), root));
  if (rank == root) RETURN_IF_ERROR(Check<T>("gather " + what, big.values, all));

  std::copy(all.begin(), all.end(), big.values.begin());
  if (rank != root) std::fill(big.values.begin(), big.values.end(), FromNumber<T>(0));
  const auto taken = in_place && rank == root ? part : small.values;
  RETURN_IF_ERROR(comm.Scatter(BufferOf(big.values), BufferOf(taken), root));
  RETURN_IF_ERROR(Check<T>("scatter " + what, taken, one));

  if (rank == root) std::copy(one.begin(), one.end(), small.values.begin());
  RETURN_IF_ERROR(comm.Broadcast(BufferOf(small.values), root));
  for (size_t i = 0; i < count; ++i) one[i] = value(root, i);
  RETURN_IF_ERROR(Check<T>("broadcast " + what, small.values, one));

  // Part p of the input of rank r holds r + p; part p of what r gets then holds p + r at p's index for r.
  for (size_t i = 0; i < all.size(); ++i) {
    const int p = static_cast<int>(i / std::max<size_t>(count, 1));
    big.values[i] = FromNumber<T>(rank * 10 + p + static_cast<int>(i % 3) * 0);
    all[i] = FromNumber<T>(p * 10 + rank);
  }
  const auto exchanged = in_place ? big.values : other.values;
  RETURN_IF_ERROR(comm.AllToAll(BufferOf(big.values), BufferOf(exchanged)));
  return Check<T>("all_to_all " + what, exchanged, all);
}

template <typename T>
absl::Status AllOf(Communicator& comm, bool large) {
  for (size_t count : Counts(comm.size(), large)) {
    for (bool peer : {false, true}) {
      for (bool in_place : {false, true}) {
        for (ReduceOp op : kOps) {
          if (count > 1000 && op != ReduceOp::kSum) continue;
          RETURN_IF_ERROR(Reductions<T>(comm, count, op, in_place, peer));
        }
        RETURN_IF_ERROR(Moves<T>(comm, count, in_place, peer));
      }
    }
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status Check(absl::string_view what, const std::vector<T>& got, const std::vector<T>& want) {
  for (size_t i = 0; i < want.size(); ++i) {
    if (got[i] == want[i]) continue;
    return absl::InternalError(
        absl::StrCat(what, ": element ", i, " of ", want.size(), " is ", got[i], ", not ", want[i]));
  }
  return got.size() == want.size() ? absl::OkStatus() : absl::InternalError("another length");
}

// Lengths of the ranks' parts: all kinds of unevenness, zeros among them.
inline std::vector<std::vector<size_t>> Lengths(int ranks) {
  std::vector<std::vector<size_t>> all(4, std::vector<size_t>(ranks));
  for (int r = 0; r < ranks; ++r) {
    all[0][r] = r;                              // the first empty
    all[1][r] = r % 2 == 0 ? 0 : 100 + 13 * r;  // every other empty
    all[2][r] = r == ranks - 1 ? 300'001 : 1;   // one long, in several pieces
    all[3][r] = 0;
  }
  return all;
}

inline size_t Sum(const std::vector<size_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), size_t{0});
}
inline size_t Before(const std::vector<size_t>& counts, int rank) {
  return std::accumulate(counts.begin(), counts.begin() + rank, size_t{0});
}
inline int32_t Value(int rank, size_t i) { return static_cast<int32_t>((rank * 7919 + i * 31) % 1009); }

template <typename T>
Buffer Of(std::vector<T>& values) {
  return BufferOf(absl::MakeSpan(values));
}

inline absl::Status CheckVForms(Communicator& comm, const std::vector<size_t>& counts,
                                const CallOptions& o = {}) {
  const int rank = comm.rank(), ranks = comm.size(), root = ranks / 2;
  std::vector<int32_t> mine(counts[rank]), all(Sum(counts)), whole(Sum(counts)), got(counts[rank]);
  for (size_t i = 0; i < mine.size(); ++i) mine[i] = Value(rank, i);
  for (int r = 0; r < ranks; ++r) {
    for (size_t i = 0; i < counts[r]; ++i) all[Before(counts, r) + i] = Value(r, i);
  }
  RETURN_IF_ERROR(comm.AllGatherV(Of(mine), Of(whole), counts, o));
  RETURN_IF_ERROR(Check("all_gather_v", whole, all));

  std::fill(whole.begin(), whole.end(), -1);
  RETURN_IF_ERROR(comm.GatherV(Of(mine), rank == root ? Of(whole) : Buffer{}, counts, root));
  if (rank == root) RETURN_IF_ERROR(Check("gather_v", whole, all));

  RETURN_IF_ERROR(comm.ScatterV(rank == root ? Of(all) : Buffer{}, counts, Of(got), root));
  RETURN_IF_ERROR(Check("scatter_v", got, mine));

  for (size_t i = 0; i < whole.size(); ++i) whole[i] = Value(rank, i);
  RETURN_IF_ERROR(comm.ReduceScatterV(Of(whole), counts, Of(got), ReduceOp::kSum, o));
  for (size_t i = 0; i < mine.size(); ++i) {
    mine[i] = 0;
    for (int r = 0; r < ranks; ++r) mine[i] += Value(r, Before(counts, rank) + i);
  }
  return Check("reduce_scatter_v", got, mine);
}

inline absl::Status CheckAllToAllV(Communicator& comm) {
  const int rank = comm.rank(), ranks = comm.size();
  const auto length = [](int from, int to) -> size_t { return (from * 5 + to * 3) % 4 * 9001; };
  std::vector<size_t> sends(ranks), recvs(ranks);
  std::vector<int32_t> in, want;
  for (int r = 0; r < ranks; ++r) {
    sends[r] = length(rank, r);
    recvs[r] = length(r, rank);
    for (size_t i = 0; i < sends[r]; ++i) in.push_back(Value(rank * 16 + r, i));
    for (size_t i = 0; i < recvs[r]; ++i) want.push_back(Value(r * 16 + rank, i));
  }
  std::vector<int32_t> out(want.size());
  RETURN_IF_ERROR(comm.AllToAllV(Of(in), sends, Of(out), recvs));
  return Check("all_to_all_v", out, want);
}

}  // namespace lockstep::comm

#endif  // LOCKSTEP_TESTS_COMM_CONFORMANCE_CHECKS_H_
