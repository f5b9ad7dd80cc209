// Several machines: network namespaces joined by a bridge, ranks as processes in them.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/clock.h"
#include "runtime/core/thread.h"
#include "tests/testing/network_rig.h"
#include "tests/testing/rank_processes.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::NetworkRig;
using testing::RankOutcome;

template <typename T>
Buffer Of(std::vector<T>& values) {
  return BufferOf(absl::MakeSpan(values));
}

absl::Status Expect(bool good, absl::string_view what) {
  return good ? absl::OkStatus() : absl::InternalError(absl::StrCat("wrong: ", what));
}

int32_t Value(int rank, size_t i) { return static_cast<int32_t>((rank * 7919 + i * 31) % 1009); }

// One of each kind, with counts that fill one piece and several.
absl::Status CheckCollectives(Communicator& comm, size_t n) {
  const int rank = comm.rank(), ranks = comm.size(), root = ranks - 1;
  const auto sum_at = [&](size_t i) {
    int32_t sum = 0;
    for (int r = 0; r < ranks; ++r) sum += Value(r, i);
    return sum;
  };
  std::vector<int32_t> in(n), out(n), parts(n * ranks), part(n);
  for (size_t i = 0; i < n; ++i) in[i] = Value(rank, i);
  RETURN_IF_ERROR(comm.AllReduce(Of(in), Of(out), ReduceOp::kSum));
  for (size_t i = 0; i < n; ++i) RETURN_IF_ERROR(Expect(out[i] == sum_at(i), "all_reduce"));
  RETURN_IF_ERROR(comm.Reduce(Of(in), Of(part), ReduceOp::kSum, root));
  RETURN_IF_ERROR(Expect(rank != root || part == out, "reduce"));
  RETURN_IF_ERROR(comm.AllGather(Of(in), Of(parts)));
  for (size_t i = 0; i < parts.size(); ++i) {
    RETURN_IF_ERROR(Expect(parts[i] == Value(static_cast<int>(i / n), i % n), "all_gather"));
  }
  for (size_t i = 0; i < parts.size(); ++i) parts[i] = Value(rank, i);
  RETURN_IF_ERROR(comm.ReduceScatter(Of(parts), Of(part), ReduceOp::kSum));
  for (size_t i = 0; i < n; ++i) RETURN_IF_ERROR(Expect(part[i] == sum_at(rank * n + i), "reduce_scatter"));
  std::fill(part.begin(), part.end(), rank == root ? 77 : -1);
  RETURN_IF_ERROR(comm.Broadcast(Of(part), root));
  RETURN_IF_ERROR(Expect(part == std::vector<int32_t>(n, 77), "broadcast"));
  RETURN_IF_ERROR(comm.Barrier());
  const int next = (rank + 1) % ranks, previous = (rank + ranks - 1) % ranks;
  RETURN_IF_ERROR(comm.SendRecv(Of(in), next, Of(out), previous));
  return Expect(n == 0 || out[0] == Value(previous, 0), "send_recv");
}

float LaneValue(int lane, size_t i) {
  return std::ldexp(1.0f + static_cast<float>((lane * 37 + i * 11) % 97) / 97,
                    static_cast<int>(lane * 5 % 13)) *
         (i % 3 == 0 ? -1.0f : 1.0f);
}

// The tree's value of a node, by one loop: what a world of one computes.
std::vector<float> NodeSum(LaneRange node, size_t n) {
  std::vector<float> sum(n);
  if (node.size() == 1) {
    for (size_t i = 0; i < n; ++i) sum[i] = LaneValue(node.begin, i);
    return sum;
  }
  const int split = SplitOf(node);
  const std::vector<float> left = NodeSum({node.begin, split}, n), right = NodeSum({split, node.end}, n);
  const LaneArithmetic modes;
  for (size_t i = 0; i < n; ++i) sum[i] = left[i] + right[i];
  return sum;
}

absl::Status CheckLanes(Communicator& comm, int lanes, size_t n) {
  std::vector<std::vector<float>> sums;
  std::vector<LanePart> parts;
  for (const LaneRange node : MaximalSubtrees(LanesOfRank(comm.rank(), comm.size(), lanes), lanes)) {
    sums.push_back(NodeSum(node, n));
    parts.push_back({node, {sums.back().data(), n, DType::kF32}});
  }
  std::vector<float> result(n);
  RETURN_IF_ERROR(comm.ReduceLanes(parts, lanes, Of(result)));
  const std::vector<float> want = NodeSum({0, lanes}, n);
  return Expect(std::memcmp(result.data(), want.data(), n * sizeof(float)) == 0,
                absl::StrCat("the bits of ", lanes, " lanes"));
}

struct Machines {
  std::string name;
  std::vector<int> ranks;  // of each machine
  std::string backend;     // that "auto" takes
  int size() const { return std::accumulate(ranks.begin(), ranks.end(), 0); }
  int MachineOf(int rank) const {
    int machine = 0;
    for (; rank >= ranks[machine]; ++machine) rank -= ranks[machine];
    return machine;
  }
};

class MachinesTest : public ::testing::TestWithParam<Machines> {
 protected:
  void SetUp() override {
    auto rig = NetworkRig::Make(static_cast<int>(GetParam().ranks.size()));
    if (!rig.ok()) GTEST_SKIP() << "no machines to test with: " << rig.status().message();
    rig_ = *std::move(rig);
  }
  std::vector<RankOutcome> Run(absl::Duration deadline,
                               const std::function<absl::Status(Communicator&)>& rank,
                               const std::function<void(const std::vector<pid_t>&)>& meanwhile = nullptr) {
    CommunicatorOptions options;
    options.deadline = deadline;
    options.connect_deadline = absl::Seconds(20);
    return testing::RunRankProcesses(GetParam().size(), options, rank, meanwhile, 60,
                                     [&](int r) { rig_->Enter(GetParam().MachineOf(r)); });
  }
  // All ranks add together until an error; `harm` comes when every one of them has done so a few times.
  std::vector<RankOutcome> SumUntil(absl::Duration deadline, size_t n,
                                    const std::function<void(const std::vector<pid_t>&)>& harm) {
    void* const shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    auto* const rounds = static_cast<std::atomic<int>*>(shared);  // of each rank
    const auto outcomes = Run(
        deadline,
        [&](Communicator& comm) -> absl::Status {
          std::vector<float> values(n, 1);
          while (true) {
            RETURN_IF_ERROR(comm.AllReduce(Of(values), Of(values), ReduceOp::kSum));
            ++rounds[comm.rank()];
          }
        },
        [&](const std::vector<pid_t>& pids) {
          const Deadline patience = Deadline::After(absl::Seconds(30));
          for (int rank = 0; rank < GetParam().size(); ++rank) {
            while (rounds[rank] < 3 && !patience.Passed()) usleep(10000);
          }
          harm(pids);
        });
    munmap(shared, 4096);
    return outcomes;
  }
  std::unique_ptr<NetworkRig> rig_;
};

TEST_P(MachinesTest, EveryCollectiveIsRight) {
  const auto outcomes = Run(absl::Seconds(20), [&](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(Expect(comm.backend() == GetParam().backend, comm.Describe()));
    for (const size_t n : {size_t{0}, size_t{1}, size_t{1000}, size_t{100'003}, size_t{3'000'001}}) {
      RETURN_IF_ERROR(CheckCollectives(comm, n));
    }
    return absl::OkStatus();
  });
  for (const RankOutcome& outcome : outcomes) EXPECT_EQ(outcome.message, "");
}

TEST_P(MachinesTest, LanesHaveTheBitsOfOneMachine) {
  const auto outcomes = Run(absl::Seconds(20), [&](Communicator& comm) -> absl::Status {
    for (const int lanes : {8, 12, 16}) {
      for (const size_t n : {size_t{5}, size_t{200'003}}) RETURN_IF_ERROR(CheckLanes(comm, lanes, n));
    }
    return CheckLanes(comm, 8, 2'500'001);
  });
  for (const RankOutcome& outcome : outcomes) EXPECT_EQ(outcome.message, "");
}

TEST_P(MachinesTest, AKilledRankIsNamedWithinASecond) {
  for (const size_t n : {size_t{10}, size_t{3} << 20}) {
    double killed_at = 0;
    const auto outcomes = SumUntil(absl::Seconds(20), n, [&](const std::vector<pid_t>& pids) {
      kill(pids[1], SIGKILL);
      killed_at = MonotonicSeconds();
    });
    EXPECT_TRUE(outcomes[1].killed);
    for (int rank = 0; rank < GetParam().size(); ++rank) {
      if (rank == 1) continue;
      EXPECT_THAT(outcomes[rank].message, AllOf(HasSubstr("rank 1 died"), HasSubstr("all_reduce #")));
      // The second of the promise, and one more for a crowded test machine.
      EXPECT_LT(outcomes[rank].at_seconds - killed_at, 2.0) << outcomes[rank].message;
    }
  }
}

TEST_P(MachinesTest, AMachineThatCannotBeReachedIsNamedAtTheDeadline) {
  const int lost = static_cast<int>(GetParam().ranks.size()) - 1;
  const auto outcomes = SumUntil(absl::Seconds(2), 100'000,
                                 [&](const std::vector<pid_t>&) { EXPECT_TRUE(rig_->Cut(lost).ok()); });
  std::vector<::testing::Matcher<std::string>> awaited;
  for (int rank = 0; rank < GetParam().size(); ++rank) {
    if (GetParam().MachineOf(rank) == lost)
      awaited.push_back(HasSubstr(absl::StrCat("awaited: rank ", rank)));
  }
  for (int rank = 0; rank < GetParam().size(); ++rank) {
    EXPECT_EQ(outcomes[rank].code, static_cast<int>(absl::StatusCode::kDeadlineExceeded))
        << outcomes[rank].message;
    if (GetParam().MachineOf(rank) == lost) continue;
    EXPECT_THAT(outcomes[rank].message, ::testing::AnyOfArray(awaited)) << rank;
    EXPECT_THAT(outcomes[rank].message, HasSubstr("its machine has acknowledged nothing for")) << rank;
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, MachinesTest,
                         ::testing::Values(Machines{"TwoOfTwo", {2, 2}, "hier"},
                                           Machines{"FourOfOne", {1, 1, 1, 1}, "tcp"},
                                           Machines{"OneTwoTwo", {1, 2, 2}, "hier"}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lockstep::comm
