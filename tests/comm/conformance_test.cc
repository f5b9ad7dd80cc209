// Every collective on every backend, type, operation, world size and odd count, against plain loops.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/comm/conformance_checks.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using testing::RunRanks;
using testing::RunRanksOptions;

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

TEST_P(ConformanceTest, WholeRangeOfIntegers) {
  for (const char* algorithm : {"auto", "ring"}) Expect(Options(algorithm), WholeRangeOfAll);
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
