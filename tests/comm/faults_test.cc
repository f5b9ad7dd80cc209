// What goes wrong between ranks: deaths, hangs, aborts, mismatched calls. Always an error, soon, that says
// who and what.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/clock.h"
#include "tests/testing/rank_processes.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using testing::RankOutcome;
using testing::RunRankProcesses;
using testing::RunRanksOptions;
using testing::StatusesOfRanks;

class FaultsTest : public ::testing::TestWithParam<std::string> {
 protected:
  CommunicatorOptions Options(absl::Duration deadline = absl::Seconds(20)) const {
    CommunicatorOptions options;
    options.backend = GetParam();
    options.deadline = deadline;
    return options;
  }
  RunRanksOptions Threads(int size, absl::Duration deadline = absl::Seconds(20)) const {
    return {.size = size, .backend = GetParam(), .deadline = deadline, .what = "faults"};
  }
};

absl::Status AllReduceOnes(Communicator& comm, size_t count) {
  std::vector<float> values(count, 1);
  const Buffer buffer = BufferOf(absl::MakeSpan(values));
  return comm.AllReduce(buffer, buffer, ReduceOp::kSum);
}

// Rounds of all_reduce until an error; rank 1 does `fate` at the tenth.
std::function<absl::Status(Communicator&)> RoundsWithFate(size_t count, std::function<void()> fate) {
  return [count, fate](Communicator& comm) -> absl::Status {
    for (int round = 0;; ++round) {
      if (round == 10 && comm.rank() == 1) fate();
      RETURN_IF_ERROR(AllReduceOnes(comm, count));
    }
  };
}

TEST_P(FaultsTest, AKilledRankIsNamedWithinASecond) {
  for (size_t count : {size_t{10}, size_t{3} << 20}) {
    double killed_at = 0;
    const auto outcomes = RunRankProcesses(
        4, Options(),
        [&](Communicator& comm) -> absl::Status {
          for (int round = 0;; ++round) {
            if (round == 3) RETURN_IF_ERROR(comm.Barrier());
            RETURN_IF_ERROR(AllReduceOnes(comm, count));
          }
        },
        [&](const std::vector<pid_t>& pids) {
          usleep(500000);
          kill(pids[1], SIGKILL);
          killed_at = MonotonicSeconds();
        });
    EXPECT_TRUE(outcomes[1].killed);
    for (int rank : {0, 2, 3}) {
      EXPECT_THAT(outcomes[rank].message,
                  AllOf(HasSubstr("rank 1"), HasSubstr("all_reduce #"), HasSubstr("phase")));
      EXPECT_EQ(outcomes[rank].trouble, static_cast<int>(Trouble::kPeer)) << outcomes[rank].message;
      // The second of the promise, and one more for a crowded test machine.
      EXPECT_LT(outcomes[rank].at_seconds - killed_at, 2.0) << outcomes[rank].message;
    }
  }
}

TEST_P(FaultsTest, AStoppedRankIsADeadline) {
  const auto outcomes = RunRankProcesses(3, Options(absl::Seconds(1)),
                                         RoundsWithFate(1000, [] { raise(SIGSTOP); }), nullptr, 8);
  EXPECT_EQ(outcomes[1].message, "hung");  // it is: it stands still
  for (int rank : {0, 2}) {
    EXPECT_THAT(outcomes[rank].message, AllOf(HasSubstr("all_reduce #10"), HasSubstr("rank 1")));
    EXPECT_EQ(outcomes[rank].code, static_cast<int>(absl::StatusCode::kDeadlineExceeded))
        << outcomes[rank].message;
  }
}

// Memory that ranks share has no name in any file system, so nothing can stay behind them, however they end.
TEST_P(FaultsTest, SharedMemoryHasNoName) {
  int shared = 0;
  RunRankProcesses(
      2, Options(), RoundsWithFate(100000, [] { pause(); }), [&](const std::vector<pid_t>& pids) {
        usleep(200000);
        std::ifstream maps(absl::StrCat("/proc/", pids[0], "/maps"));
        std::string line;
        while (std::getline(maps, line)) {
          const bool is_shared = line.size() > 22 && line.find("s ", line.find(' ')) == line.find(' ') + 4;
          if (!is_shared) continue;
          ++shared;
          EXPECT_THAT(line, HasSubstr("/memfd:lockstep (deleted)"));
        }
        for (pid_t pid : pids) kill(pid, SIGKILL);
      });
  const bool shares = GetParam() == "shm" || GetParam() == "hier_pairs";
  EXPECT_EQ(shared, shares ? 2 : 0);  // the own arena and the peer's
}

TEST_P(FaultsTest, MismatchedCallsNameBoth) {
  using Body = std::function<absl::Status(Communicator&, Buffer)>;
  const auto sum = [](Communicator& comm, Buffer b) { return comm.AllReduce(b, b, ReduceOp::kSum); };
  const std::vector<std::tuple<std::string, Body, Body>> cases{
      {"count", sum,
       [](Communicator& comm, Buffer b) {
         return comm.AllReduce({b.data, 11, b.dtype}, {b.data, 11, b.dtype}, ReduceOp::kSum);
       }},
      {"op", sum, [](Communicator& comm, Buffer b) { return comm.AllReduce(b, b, ReduceOp::kMax); }},
      {"type", sum,
       [](Communicator& comm, Buffer b) {
         const Buffer other{b.data, b.count, DType::kI32};
         return comm.AllReduce(other, other, ReduceOp::kSum);
       }},
      {"collective", sum, [](Communicator& comm, Buffer b) { return comm.Broadcast(b, 0); }},
      {"root", [](Communicator& comm, Buffer b) { return comm.Broadcast(b, 0); },
       [](Communicator& comm, Buffer b) { return comm.Broadcast(b, 1); }},
  };
  for (const auto& [what, most, odd] : cases) {
    const auto statuses =
        StatusesOfRanks(Threads(3, absl::Seconds(3)), [&, most = most, odd = odd](Communicator& comm) {
          std::vector<float> values(64);
          const Buffer buffer{values.data(), 10, DType::kF32};
          const absl::Status status = (comm.rank() == 1 ? odd : most)(comm, buffer);
          return status.ok() ? comm.Barrier() : status;  // over a network it may show only at the next call
        });
    for (const absl::Status& status : statuses) {
      EXPECT_FALSE(status.ok()) << what;
      EXPECT_EQ(TroubleOf(status), Trouble::kPeer) << what << ": " << status;
      if (what == "root" && GetParam() != "shm")
        continue;  // two roots both send: nobody listens, until the deadline
      EXPECT_THAT(std::string(status.message()), HasSubstr("the ranks called different things")) << what;
      EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("rank 1"), HasSubstr(" #0"))) << what;
    }
  }
}

TEST_P(FaultsTest, FailureIsSticky) {
  const auto statuses =
      StatusesOfRanks(Threads(2, absl::Milliseconds(300)), [](Communicator& comm) -> absl::Status {
        if (comm.rank() == 1) {
          while (comm.status().ok() && AllReduceOnes(comm, 5).ok())
            std::this_thread::sleep_for(std::chrono::seconds(1));
          return comm.status();
        }
        absl::Status first;
        while (first.ok()) first = AllReduceOnes(comm, 5);
        const double start = MonotonicSeconds();
        for (int i = 0; i < 100; ++i) {
          if (AllReduceOnes(comm, 5) != first) return absl::InternalError("the failure changed");
          std::vector<float> one(1);
          if (comm.StartBroadcast(BufferOf(absl::MakeSpan(one)), 0)->Wait() != first)
            return absl::InternalError("async");
        }
        if (MonotonicSeconds() - start > 0.2) return absl::InternalError("a failed communicator still waits");
        return first;
      });
  EXPECT_EQ(TroubleOf(statuses[0]), Trouble::kPeer) << statuses[0];
  EXPECT_THAT(std::string(statuses[0].message()), HasSubstr("rank 1"));
  EXPECT_FALSE(statuses[1].ok());
}

TEST_P(FaultsTest, AbortReachesEveryoneWithItsReason) {
  const auto statuses = StatusesOfRanks(Threads(3), [](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(comm.Barrier());
    RETURN_IF_ERROR(AllReduceOnes(comm, 10));  // all connected
    std::thread aborter;
    if (comm.rank() == 2) {
      aborter = std::thread([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        comm.Abort(DataError("train.tfrecord, record 17: truncated"));
      });
    }
    // Rank 0 comes late, so the others wait until they are told.
    absl::Status status;
    while (status.ok()) {
      if (comm.rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(300));
      status = AllReduceOnes(comm, 10);
    }
    if (aborter.joinable()) aborter.join();
    return status;
  });
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(TroubleOf(statuses[rank]), Trouble::kData) << statuses[rank];
    EXPECT_THAT(std::string(statuses[rank].message()), HasSubstr("record 17: truncated"));
  }
}

TEST_P(FaultsTest, AbortEndsWorkInFlight) {
  const auto statuses = StatusesOfRanks(Threads(2), [](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(comm.Barrier());
    if (comm.rank() == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      return comm.Barrier();
    }
    std::vector<float> values(1000);
    const Buffer buffer = BufferOf(absl::MakeSpan(values));
    std::vector<std::unique_ptr<Work>> works;
    for (int i = 0; i < 3; ++i) works.push_back(comm.StartAllReduce(buffer, buffer, ReduceOp::kSum));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    comm.Abort(PeerError("enough"));
    for (const auto& work : works) {
      if (work->Wait() != PeerError("enough")) return absl::InternalError("work survived the abort");
    }
    return comm.status();
  });
  EXPECT_EQ(statuses[0], PeerError("enough"));
  EXPECT_THAT(std::string(statuses[1].message()),
              AnyOf(HasSubstr("enough"), HasSubstr("called different things")));
}

TEST_P(FaultsTest, ARankThatLeavesIsNamed) {
  const auto statuses = StatusesOfRanks(Threads(3), [](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(comm.Barrier());
    RETURN_IF_ERROR(AllReduceOnes(comm, 10));
    return comm.rank() == 1 ? absl::OkStatus() : comm.Barrier();
  });
  EXPECT_TRUE(statuses[1].ok());
  for (int rank : {0, 2}) {
    EXPECT_THAT(std::string(statuses[rank].message()), AllOf(HasSubstr("rank 1"), HasSubstr("closed")))
        << rank;
  }
}

TEST_P(FaultsTest, AMissingRankIsNamedAtTheDeadline) {
  const auto statuses = testing::StatusesOfMeetings({.size = 3, .what = "missing"}, [&](Meeting& meeting) {
    if (meeting.rank() == 1) return absl::OkStatus();
    CommunicatorOptions options = Options();
    options.connect_deadline = absl::Milliseconds(300);
    testing::PoseAsMachines(meeting.rank(), options);
    return MakeCommunicator(meeting, options).status();
  });
  for (int rank : {0, 2}) {
    EXPECT_EQ(TroubleOf(statuses[rank]), Trouble::kPeer);
    EXPECT_THAT(std::string(statuses[rank].message()), HasSubstr("did not come: 1"));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FaultsTest, ::testing::Values("shm", "tcp", "hier_pairs", "hier_uneven"),
                         [](const auto& info) { return info.param; });

TEST(FactoryTest, UnknownNamesListTheKnownOnes) {
  const auto statuses = testing::StatusesOfMeetings({.size = 2, .what = "names"}, [](Meeting& meeting) {
    CommunicatorOptions options;
    options.backend = "pigeon";
    const absl::Status backend = MakeCommunicator(meeting, options).status();
    EXPECT_EQ(TroubleOf(backend), Trouble::kConfig);
    EXPECT_THAT(std::string(backend.message()), AllOf(HasSubstr("'pigeon'"), HasSubstr("auto, shm, tcp")));
    options.backend = "hier";
    options.between = "pigeon";
    const absl::Status between = MakeCommunicator(meeting, options).status();
    EXPECT_EQ(TroubleOf(between), Trouble::kConfig);
    EXPECT_THAT(std::string(between.message()), AllOf(HasSubstr("'pigeon'"), HasSubstr("tcp, mpi")));
    options.backend = "tcp";
    options.between = "mpi";
    const absl::Status contradiction = MakeCommunicator(meeting, options).status();
    EXPECT_EQ(TroubleOf(contradiction), Trouble::kConfig);
    EXPECT_THAT(std::string(contradiction.message()), HasSubstr("for the backends hier and auto, not tcp"));
    options.between = "tcp";
    options.backend = "auto";
    options.algorithm = "magic";
    const absl::Status algorithm = MakeCommunicator(meeting, options).status();
    EXPECT_EQ(TroubleOf(algorithm), Trouble::kConfig);
    EXPECT_THAT(std::string(algorithm.message()), AllOf(HasSubstr("'magic'"), HasSubstr("two_shot")));
    return absl::OkStatus();
  });
}

TEST(FactoryTest, RanksThatWantDifferentBackendsHearIt) {
  const auto statuses = testing::StatusesOfMeetings({.size = 2, .what = "backends"}, [](Meeting& meeting) {
    CommunicatorOptions options;
    options.backend = meeting.rank() == 0 ? "shm" : "tcp";
    return MakeCommunicator(meeting, options).status();
  });
  for (const absl::Status& status : statuses) EXPECT_EQ(TroubleOf(status), Trouble::kConfig) << status;
}

}  // namespace
}  // namespace lockstep::comm
