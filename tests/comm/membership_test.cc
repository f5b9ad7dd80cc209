// Members as threads of this process. One process cannot be killed in parts: who dies here goes without a word
// (its membership is leaked until the test ends), and poses as on a machine of its own, so that only its
// silence tells.
#include "comm/membership.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "comm/culprits.h"
#include "comm/factory.h"
#include "comm/membership/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/clock.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RunRanksOptions;

const Credentials kCredentials{{"build", "b1"}, {"recipe", "r1"}};

absl::Status Expect(bool good, absl::string_view what) {
  return good ? absl::OkStatus() : absl::InternalError(absl::StrCat("wrong: ", what));
}

class MembershipTest : public ::testing::Test {
 protected:
  MembershipTest() {
    static std::atomic<int> count{0};
    folder_ =
        std::filesystem::path(::testing::TempDir()) / absl::StrCat("membership-", getpid(), "-", ++count);
    std::filesystem::remove_all(folder_);
  }
  ~MembershipTest() override { std::filesystem::remove_all(folder_); }

  MembershipOptions Options(int rank = 0) const {
    MembershipOptions options;
    options.folder = folder_.string();
    options.settle = absl::Seconds(2);
    options.patience = absl::Seconds(20);
    if (apart_) options.machine = absl::StrCat("machine ", rank);
    return options;
  }

  using Body = std::function<absl::Status(Membership& membership, int rank)>;
  // Every rank's result of `body`, in a run of its own.
  std::vector<absl::Status> Statuses(int size, const Body& body) {
    return testing::StatusesOfRanks(
        {.size = size, .backend = "tcp", .what = "membership"}, [&](Communicator& comm) -> absl::Status {
          ASSIGN_OR_RETURN(auto membership, Membership::Begin(comm, kCredentials, Options(comm.rank())));
          return body(*membership, comm.rank());
        });
  }
  void Run(int size, const Body& body) {
    const auto statuses = Statuses(size, body);
    for (int rank = 0; rank < size; ++rank)
      EXPECT_TRUE(statuses[rank].ok()) << rank << ": " << statuses[rank];
  }

  // All members of the present generation add their ranks together.
  static absl::Status Sum(Membership& membership, const std::string& backend = "tcp") {
    ASSIGN_OR_RETURN(auto meeting, membership.Meet(absl::Seconds(20)));
    CommunicatorOptions options;
    options.backend = backend;
    options.generation = membership.generation();
    options.deadline = options.connect_deadline = absl::Seconds(20);
    ASSIGN_OR_RETURN(auto comm, MakeCommunicator(*meeting, options));
    int64_t sum = membership.rank();
    RETURN_IF_ERROR(comm->AllReduce({&sum, 1, DType::kI64}, {&sum, 1, DType::kI64}, ReduceOp::kSum));
    return Expect(sum == int64_t{membership.size()} * (membership.size() - 1) / 2, "the sum");
  }

  std::filesystem::path Start() const {
    std::string start;
    std::ifstream(folder_ / "current") >> start;
    return folder_ / start;
  }

  std::filesystem::path folder_;
  bool apart_ = false;  // each rank on a machine of its own
};

std::vector<int> Numbers(const Membership& membership) {
  std::vector<int> numbers;
  for (const Member& member : membership.members()) numbers.push_back(member.number);
  return numbers;
}

const absl::Status kFailure = PeerError("rank 9 died");

// Threads that meet `count` times.
class Gate {
 public:
  explicit Gate(int count) : count_(count) {}
  void Pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    const int round = round_;
    if (++here_ == count_) {
      here_ = 0;
      ++round_;
      all_.notify_all();
    } else {
      all_.wait(lock, [&] { return round_ != round; });
    }
  }

 private:
  const int count_;
  int here_ = 0, round_ = 0;
  std::mutex mutex_;
  std::condition_variable all_;
};

TEST_F(MembershipTest, TheFirstGenerationIsTheCommunicators) {
  Run(3, [&](Membership& membership, int rank) -> absl::Status {
    EXPECT_EQ(membership.generation(), 1u);
    EXPECT_EQ(membership.rank(), rank);
    EXPECT_EQ(membership.number(), rank);
    EXPECT_THAT(Numbers(membership), ElementsAre(0, 1, 2));
    EXPECT_EQ(membership.members()[rank].pid, getpid());
    EXPECT_EQ(membership.Newcomers(), 0);
    RETURN_IF_ERROR(membership.CheckCurrent());
    return Sum(membership);
  });
}

TEST_F(MembershipTest, FilesAreForTheOwnerOnly) {
  Run(2, [&](Membership& membership, int) -> absl::Status {
    RETURN_IF_ERROR(membership.Regroup({.reason = kFailure}));
    RETURN_IF_ERROR(Sum(membership));
    return Sum(membership).ok() ? absl::InternalError("met twice") : absl::OkStatus();
  });
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    struct stat info;
    ASSERT_EQ(stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, entry.is_directory() ? 0700 : 0600) << entry.path();
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("draft")));
  }
}

TEST_F(MembershipTest, ABadMoodOfAllKeepsAll) {
  Run(4, [&](Membership& membership, int rank) -> absl::Status {
    for (uint64_t generation = 2; generation < 6; ++generation) {
      RETURN_IF_ERROR(membership.Regroup({.reason = kFailure}));
      EXPECT_EQ(membership.generation(), generation);
      EXPECT_EQ(membership.rank(), rank);
      EXPECT_EQ(membership.size(), 4);
      EXPECT_THAT(membership.Describe(), AllOf(HasSubstr("4 ranks (4 before)"), HasSubstr("rank 9 died")));
      RETURN_IF_ERROR(Sum(membership, generation % 2 == 0 ? "shm" : "tcp"));
    }
    return membership.CheckCurrent();
  });
}

TEST_F(MembershipTest, OneCallReachesAll) {
  Run(3, [&](Membership& membership, int rank) -> absl::Status {
    std::mutex mutex;
    std::condition_variable called;
    int calls = 0;
    absl::Status reason;
    for (int round = 0; round < 3; ++round) {
      membership.Watch([&](const absl::Status& why) {
        std::lock_guard<std::mutex> lock(mutex);
        ++calls;
        reason = why;
        called.notify_all();
      });
      if (rank != round) {
        std::unique_lock<std::mutex> lock(mutex);
        if (!called.wait_for(lock, std::chrono::seconds(20),
                             [&] { return calls == round + 1 - (round > rank); }))
          return absl::InternalError("not called");
        EXPECT_THAT(std::string(reason.message()),
                    AllOf(HasSubstr("calls for generation"), HasSubstr("rank 9 died")));
      }
      RETURN_IF_ERROR(membership.Regroup({.reason = rank == round ? kFailure : reason}));
    }
    return absl::OkStatus();
  });
}

TEST_F(MembershipTest, WhoSaysNothingIsLeftOut) {
  apart_ = true;
  const auto statuses = Statuses(4, [&](Membership& membership, int rank) -> absl::Status {
    if (rank == 0) return absl::OkStatus();  // it leaves its file
    RETURN_IF_ERROR(membership.Regroup({.reason = kFailure}));
    EXPECT_THAT(Numbers(membership), ElementsAre(1, 2, 3));
    EXPECT_THAT(membership.Describe(), HasSubstr("rank 0 is out, because it had left the run"));
    EXPECT_EQ(membership.rank(), rank - 1);
    return Sum(membership);
  });
  for (const auto& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

TEST_F(MembershipTest, SeveralLeaveUntilOneIsLeft) {
  Run(4, [&](Membership& membership, int rank) -> absl::Status {
    for (int size = 4; size > 1; --size) {
      const bool goes = size - 1 == (rank == 0 ? 3 : rank - 1);  // rank 0 goes first
      RETURN_IF_ERROR(membership.Regroup({.leaving = goes}));
      if (goes) return Expect(membership.size() == 0 && !membership.CheckCurrent().ok(), "gone");
      EXPECT_EQ(membership.size(), size - 1);
      RETURN_IF_ERROR(Sum(membership));
    }
    return membership.CheckCurrent();
  });
}

TEST_F(MembershipTest, AllMayLeave) {
  Run(3, [&](Membership& membership, int) -> absl::Status {
    RETURN_IF_ERROR(membership.Regroup({.leaving = true}));
    return Expect(membership.size() == 0, "gone");
  });
}

TEST_F(MembershipTest, ShrinkingOnPurposeTakesTheHighestRanks) {
  Run(4, [&](Membership& membership, int rank) -> absl::Status {
    RETURN_IF_ERROR(membership.Regroup({.size = 2}));
    if (rank >= 2) return Expect(membership.size() == 0, "shrunk away");
    EXPECT_EQ(membership.size(), 2);
    return Sum(membership);
  });
}

// Two halves that see the folder, but not each other.
TEST_F(MembershipTest, OneSideOfAPartitionGetsTheGeneration) {
  for (const std::set<int>& alone :
       {std::set<int>{2, 3}, std::set<int>{0, 1}, std::set<int>{0}, std::set<int>{2}}) {
    std::atomic<int> in{0}, out{0};
    std::mutex mutex;
    std::set<int> stayed;
    const auto statuses = Statuses(4, [&](Membership& membership, int rank) -> absl::Status {
      for (int peer = 0; peer < 4; ++peer) {
        if (alone.count(peer) != alone.count(rank)) membership.Suspect({peer});
      }
      const absl::Status status = membership.Regroup({.reason = kFailure});
      if (!status.ok()) {
        ++out;
        EXPECT_EQ(TroubleOf(status), Trouble::kPeer);
        EXPECT_THAT(std::string(status.message()),
                    AllOf(HasSubstr("voted out"), HasSubstr("could not reach")));
        EXPECT_FALSE(membership.CheckCurrent().ok());
        return absl::OkStatus();
      }
      ++in;
      {
        std::lock_guard<std::mutex> lock(mutex);
        stayed.insert(rank);
      }
      RETURN_IF_ERROR(membership.CheckCurrent());
      return Sum(membership);
    });
    for (const auto& status : statuses) EXPECT_TRUE(status.ok()) << status;
    // The larger side; of equal ones, that of the lowest rank.
    std::set<int> want;
    const bool keep = alone.size() > 2 || (alone.size() == 2 && alone.count(0) != 0);
    for (int rank = 0; rank < 4; ++rank) {
      if ((alone.count(rank) != 0) == keep) want.insert(rank);
    }
    EXPECT_EQ(stayed, want);
    EXPECT_EQ(in + out, 4);
  }
}

}  // namespace
}  // namespace lockstep::comm
