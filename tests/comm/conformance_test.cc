// Every collective on every backend, type, operation, world size and odd count, against plain loops. Inputs
// are small whole numbers, so that every expected value is exact in every type.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "comm/reduce/half.h"
#include "gtest/gtest.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using testing::RunRanks;
using testing::RunRanksOptions;

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
int64_t Number(ReduceOp op, int rank, size_t i) {
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

std::vector<size_t> Counts(int ranks, bool large) {
  std::vector<size_t> counts{0, 1, static_cast<size_t>(ranks - 1), 17, 1000};
  if (large) counts.push_back(ranks <= 3 ? 150001 : 66001);  // several pieces of the staging areas
  return counts;
}

constexpr ReduceOp kOps[] = {ReduceOp::kSum, ReduceOp::kAvg, ReduceOp::kProd, ReduceOp::kMin, ReduceOp::kMax};

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

class ConformanceTest : public ::testing::TestWithParam<std::tuple<std::string, int>> {
 protected:
  RunRanksOptions Options(const std::string& algorithm = "auto") const {
    return {.size = std::get<1>(GetParam()),
            .backend = std::get<0>(GetParam()),
            .algorithm = algorithm,
            .what = absl::StrCat(std::get<0>(GetParam()), " of ", std::get<1>(GetParam()))};
  }
  void Expect(const RunRanksOptions& options, const testing::RankFunction& f) {
    const absl::Status status = RunRanks(options, f);
    EXPECT_TRUE(status.ok()) << status;
  }
};

TEST_P(ConformanceTest, FloatsLarge) {
  Expect(Options(), [](Communicator& comm) { return AllOf<float>(comm, true); });
}
TEST_P(ConformanceTest, AllTypes) {
  Expect(Options(), [](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(AllOf<uint8_t>(comm, false));
    RETURN_IF_ERROR(AllOf<int8_t>(comm, false));
    RETURN_IF_ERROR(AllOf<int32_t>(comm, false));
    RETURN_IF_ERROR(AllOf<uint32_t>(comm, false));
    RETURN_IF_ERROR(AllOf<int64_t>(comm, false));
    RETURN_IF_ERROR(AllOf<uint64_t>(comm, false));
    RETURN_IF_ERROR(AllOf<Float16>(comm, false));
    RETURN_IF_ERROR(AllOf<BFloat16>(comm, false));
    return AllOf<double>(comm, false);
  });
}

TEST_P(ConformanceTest, EveryAlgorithmOfAllReduce) {
  for (const char* algorithm : {"one_shot", "two_shot", "ring", "halving_doubling", "tree"}) {
    Expect(Options(algorithm), [&](Communicator& comm) -> absl::Status {
      for (size_t count : {size_t{0}, size_t{1}, size_t{3}, size_t{1000}, size_t{40001}, size_t{700001}}) {
        for (bool peer : {false, true}) {
          for (ReduceOp op : {ReduceOp::kSum, ReduceOp::kAvg}) {
            for (bool in_place : {false, true}) {
              if (count > 100000 && (op != ReduceOp::kSum || !in_place)) continue;
              Memory<float> in(comm, count, peer), out(comm, count, peer);
              std::vector<float> want(count);
              for (size_t i = 0; i < count; ++i) {
                in.values[i] = static_cast<float>(Number(op, comm.rank(), i));
                want[i] = Expected<float>(op, comm.size(), i);
              }
              const auto result = in_place ? in.values : out.values;
              RETURN_IF_ERROR(comm.AllReduce(BufferOf(in.values), BufferOf(result), op));
              RETURN_IF_ERROR(Check<float>(absl::StrCat(algorithm, " of ", count), result, want));
            }
          }
        }
      }
      return absl::OkStatus();
    });
  }
}

TEST_P(ConformanceTest, MessagesGoRoundTheRing) {
  Expect(Options(), [](Communicator& comm) -> absl::Status {
    const int next = (comm.rank() + 1) % comm.size(),
              previous = (comm.rank() + comm.size() - 1) % comm.size();
    for (size_t count : {size_t{0}, size_t{1}, size_t{5000}, size_t{200003}}) {
      std::vector<int64_t> out(count, comm.rank()), in(count, -1);
      RETURN_IF_ERROR(
          comm.SendRecv(BufferOf(absl::MakeSpan(out)), next, BufferOf(absl::MakeSpan(in)), previous));
      RETURN_IF_ERROR(Check<int64_t>("send_recv", in, std::vector<int64_t>(count, previous)));
      if (comm.size() == 1) continue;
      // A token, passed on by plain sends and receives.
      if (comm.rank() == 0) RETURN_IF_ERROR(comm.Send(BufferOf(absl::MakeSpan(out)), next));
      RETURN_IF_ERROR(comm.Recv(BufferOf(absl::MakeSpan(in)), previous));
      RETURN_IF_ERROR(Check<int64_t>("token", in, std::vector<int64_t>(count, 0)));
      if (comm.rank() != 0) RETURN_IF_ERROR(comm.Send(BufferOf(absl::MakeSpan(in)), next));
    }
    return absl::OkStatus();
  });
}

TEST_P(ConformanceTest, WorkInFlightRunsInIssueOrder) {
  Expect(Options(), [](Communicator& comm) -> absl::Status {
    constexpr int kInFlight = 12;
    const size_t count = 10007;
    std::vector<std::vector<float>> buffers(kInFlight, std::vector<float>(count));
    for (int round = 0; round < 5; ++round) {
      std::vector<std::unique_ptr<Work>> works;
      for (int k = 0; k < kInFlight; ++k) {
        std::fill(buffers[k].begin(), buffers[k].end(), static_cast<float>(k + comm.rank()));
        const Buffer buffer = BufferOf(absl::MakeSpan(buffers[k]));
        works.push_back(k % 3 == 2 ? comm.StartBroadcast(buffer, k % comm.size())
                                   : comm.StartAllReduce(buffer, buffer, ReduceOp::kSum));
      }
      RETURN_IF_ERROR(comm.Barrier());  // a blocking call queues behind them
      for (int k = 0; k < kInFlight; ++k) {
        if (!works[k]->Done()) return absl::InternalError("a barrier overtook the work before it");
        RETURN_IF_ERROR(works[k]->Wait());
        const int w = comm.size();
        const float want =
            k % 3 == 2 ? static_cast<float>(k + k % w) : static_cast<float>(w * k + w * (w - 1) / 2);
        RETURN_IF_ERROR(Check<float>("work", buffers[k], std::vector<float>(count, want)));
      }
    }
    return absl::OkStatus();
  });
}

TEST_P(ConformanceTest, WrongCallsAreRefusedAndHurtNothing) {
  Expect(Options(), [](Communicator& comm) -> absl::Status {
    std::vector<float> some(10);
    const Buffer ten = BufferOf(absl::MakeSpan(some));
    const Buffer missing{nullptr, 3, DType::kF32};
    const auto refused = [](const absl::Status& status) { return absl::IsInvalidArgument(status); };
    bool good = refused(comm.AllReduce(ten, {some.data(), 9, DType::kF32}, ReduceOp::kSum));
    good = good && refused(comm.AllReduce(ten, {some.data(), 10, DType::kI32}, ReduceOp::kSum));
    good = good && refused(comm.Broadcast(ten, comm.size()));
    good = good && refused(comm.Broadcast(missing, 0));
    good =
        good && refused(comm.AllReduce(ten, ten, ReduceOp::kSum, {.deadline = {}, .algorithm = "telepathy"}));
    good = good && refused(comm.StartAllReduce(missing, missing, ReduceOp::kSum)->Wait());
    good = good && refused(comm.ReduceLanes({}, comm.size(), ten));
    good = good && refused(comm.Send(ten, -1));
    if (!good) return absl::InternalError("a wrong call was not refused");
    return comm.Barrier();
  });
}

// A sample of world sizes, or all up to 9 where LOCKSTEP_ALL_WORLDS is set.
std::vector<int> Worlds() {
  if (std::getenv("LOCKSTEP_ALL_WORLDS") != nullptr) return {1, 2, 3, 4, 5, 6, 7, 8, 9};
  return {1, 2, 3, 4, 5, 8};
}

INSTANTIATE_TEST_SUITE_P(Worlds, ConformanceTest,
                         ::testing::Combine(::testing::Values("shm", "tcp"), ::testing::ValuesIn(Worlds())),
                         [](const auto& info) {
                           return absl::StrCat(std::get<0>(info.param), std::get<1>(info.param));
                         });

// As several machines: of two ranks each, of one and two, and with ranks dealt out in turn.
INSTANTIATE_TEST_SUITE_P(Machines, ConformanceTest,
                         ::testing::Values(std::make_tuple("hier_pairs", 4), std::make_tuple("hier_pairs", 6),
                                           std::make_tuple("hier_uneven", 3),
                                           std::make_tuple("hier_uneven", 5),
                                           std::make_tuple("hier_mixed", 5)),
                         [](const auto& info) {
                           return absl::StrCat(std::get<0>(info.param), std::get<1>(info.param));
                         });

}  // namespace
}  // namespace lockstep::comm
