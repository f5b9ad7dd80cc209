// Members as processes that are killed, stopped and started. Each runs rounds of sums, as a trainer would
// run steps, and forms a new generation when a round fails.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <new>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "comm/culprits.h"
#include "comm/factory.h"
#include "comm/membership.h"
#include "comm/membership/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/clock.h"
#include "tests/testing/network_rig.h"
#include "tests/testing/rank_processes.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::RankOutcome;

constexpr int kMost = 8;  // members of a generation; also numbers that are looked at
const Credentials kCredentials{{"build", "b1"}, {"recipe", "r1"}};

// What a member shows the test.
struct Shown {
  std::atomic<uint64_t> generation{0};
  std::atomic<int> size{0}, rounds{0};  // rounds of this generation
  std::atomic<int64_t> pid{0};
};
struct Shared {
  Shown members[2 * kMost];       // by number
  std::atomic<bool> stop{false};  // everyone, after the next round
  std::atomic<int> trap{0};
  char message[4][1000] = {};  // of newcomers
  std::atomic<int> code[4] = {};
};

// Where a member dies of its own accord, or hangs.
enum class Trap { kNone, kBeforeRegroup, kDuringRegroup, kAfterRegroup, kAfterMeet, kHang };

class MembersTest : public ::testing::Test {
 protected:
  MembersTest() {
    void* const memory =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared_ = new (memory) Shared;
    static int count = 0;
    folder_ = std::filesystem::path(::testing::TempDir()) / absl::StrCat("members-", getpid(), "-", ++count);
    std::filesystem::remove_all(folder_);
  }
  ~MembersTest() override {
    munmap(shared_, sizeof(Shared));
    std::filesystem::remove_all(folder_);
  }

  MembershipOptions Options(int machine) const {
    MembershipOptions options;
    options.folder = folder_.string();
    options.settle = absl::Seconds(1);
    options.patience = absl::Seconds(15);
    options.most = most_;
    if (apart_) options.machine = absl::StrCat("machine ", machine);
    return options;
  }
  CommunicatorOptions CommOptions() const {
    CommunicatorOptions options;
    options.backend = backend_;
    options.deadline = deadline_;
    options.connect_deadline = connect_deadline_;
    return options;
  }

  void SpringTrap(Trap trap, int number) {
    if (static_cast<Trap>(shared_->trap.load()) == trap && number == trap_number_) raise(SIGKILL);
  }

  // Rounds until the test says stop. OK when it did, or when this member left as was planned.
  absl::Status Live(Membership& membership, Communicator* comm) {
    std::unique_ptr<Communicator> own;
    const absl::Status status = Live(membership, comm, own);
    membership.Watch(nullptr);  // before the communicator goes
    return status;
  }
  absl::Status Live(Membership& membership, Communicator* comm, std::unique_ptr<Communicator>& own) {
    Shown& shown = shared_->members[membership.number()];
    shown.pid = getpid();
    while (true) {
      membership.Watch([comm](const absl::Status& why) { comm->Abort(why); });
      shown.rounds = 0;
      shown.size = membership.size();
      shown.generation = membership.generation();
      absl::Status reason;
      int64_t wishes = 0;
      while (reason.ok() && wishes == 0) {
        int64_t values[3] = {1, shared_->stop ? 1 : 0, membership.Newcomers()};
        reason = comm->AllReduce({values, 3, DType::kI64}, {values, 3, DType::kI64}, ReduceOp::kSum);
        if (reason.ok() && values[0] != membership.size()) return absl::InternalError("a wrong sum");
        if (reason.ok() && values[1] > 0) return membership.CheckCurrent();
        wishes = values[2];
        ++shown.rounds;
        while (static_cast<Trap>(shared_->trap.load()) == Trap::kHang && membership.number() == trap_number_)
          pause();
      }
      comm = nullptr;
      while (comm == nullptr) {
        SpringTrap(Trap::kBeforeRegroup, membership.number());
        std::thread bomb;
        if (static_cast<Trap>(shared_->trap.load()) == Trap::kDuringRegroup &&
            membership.number() == trap_number_) {
          bomb = std::thread([] {
            usleep(3000);
            raise(SIGKILL);
          });
        }
        const absl::Status formed = membership.Regroup({.reason = reason});
        if (bomb.joinable()) bomb.join();
        RETURN_IF_ERROR(formed);
        if (membership.size() == 0) return absl::OkStatus();
        SpringTrap(Trap::kAfterRegroup, membership.number());
        auto made = Connect(membership);
        if (made.ok()) {
          own = *std::move(made);
          comm = own.get();
        } else {
          reason = made.status();
          membership.Suspect(CulpritsOf(reason));
        }
      }
    }
  }

  absl::StatusOr<std::unique_ptr<Communicator>> Connect(Membership& membership) {
    ASSIGN_OR_RETURN(auto meeting, membership.Meet(absl::Seconds(10)));
    SpringTrap(Trap::kAfterMeet, membership.number());
    CommunicatorOptions options = CommOptions();
    options.generation = membership.generation();
    return MakeCommunicator(*meeting, options);
  }

  std::vector<RankOutcome> Run(int size, const std::function<void(const std::vector<pid_t>&)>& meanwhile,
                               const std::function<void(int)>& prepare = nullptr) {
    return testing::RunRankProcesses(
        size, CommOptions(),
        [this](Communicator& comm) -> absl::Status {
          ASSIGN_OR_RETURN(auto membership, Membership::Begin(comm, kCredentials, Options(comm.rank())));
          return Live(*membership, &comm);
        },
        meanwhile, 60, prepare);
  }

  // A process that asks to be let in, as the `index`-th newcomer.
  pid_t StartNewcomer(int index, const Credentials& credentials, bool dies_at_once = false) {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    const absl::Status status = [&]() -> absl::Status {
      ASSIGN_OR_RETURN(auto membership, Membership::Join(credentials, Options(100 + index), nullptr));
      if (dies_at_once) raise(SIGKILL);
      auto comm = Connect(*membership);
      while (!comm.ok()) {
        membership->Suspect(CulpritsOf(comm.status()));
        RETURN_IF_ERROR(membership->Regroup({.reason = comm.status()}));
        comm = Connect(*membership);
      }
      return Live(*membership, comm->get());
    }();
    std::string(status.message()).copy(shared_->message[index], sizeof shared_->message[index] - 1);
    shared_->code[index] = ExitCodeOf(status);
    _exit(ExitCodeOf(status));
  }

  // Until `members` (numbers) run rounds together, in one generation, and nobody else does with them.
  bool AwaitRounds(const std::vector<int>& members, uint64_t at_least = 1) {
    const Deadline deadline = Deadline::After(absl::Seconds(45));
    while (!deadline.Passed()) {
      const uint64_t generation = shared_->members[members[0]].generation;
      bool all = generation >= at_least;
      for (const int number : members) {
        const Shown& shown = shared_->members[number];
        all = all && shown.generation == generation && shown.size == static_cast<int>(members.size()) &&
              shown.rounds >= 3;
      }
      if (all) return true;
      usleep(5000);
    }
    return false;
  }

  Shared* shared_;
  std::filesystem::path folder_;
  bool apart_ = false;  // members pose as on machines of their own
  int trap_number_ = -1;
  int most_ = kMost;
  std::string backend_ = "auto";
  absl::Duration deadline_ = absl::Seconds(20), connect_deadline_ = absl::Seconds(10);
};

class MembershipProcessTest : public MembersTest, public ::testing::WithParamInterface<std::string> {
 protected:
  MembershipProcessTest() { backend_ = GetParam(); }
};

TEST_P(MembershipProcessTest, TheRestGoesOnWhenOneIsKilled) {
  for (const int victim : {1, 0}) {
    new (shared_) Shared;
    const auto outcomes = Run(3, [&](const std::vector<pid_t>& pids) {
      EXPECT_TRUE(AwaitRounds({0, 1, 2}));
      const double killed = MonotonicSeconds();
      kill(pids[victim], SIGKILL);
      EXPECT_TRUE(AwaitRounds(victim == 1 ? std::vector<int>{0, 2} : std::vector<int>{1, 2}, 2));
      // The promise is two seconds; the machine may be crowded.
      EXPECT_LT(MonotonicSeconds() - killed, 10);
      shared_->stop = true;
    });
    for (int rank = 0; rank < 3; ++rank) {
      if (rank == victim) {
        EXPECT_TRUE(outcomes[rank].killed);
      } else {
        EXPECT_EQ(outcomes[rank].message, "");
      }
    }
  }
}

TEST_P(MembershipProcessTest, SeveralDeathsAtOnceDownToOne) {
  const auto outcomes = Run(4, [&](const std::vector<pid_t>& pids) {
    EXPECT_TRUE(AwaitRounds({0, 1, 2, 3}));
    kill(pids[0], SIGKILL);
    kill(pids[2], SIGKILL);
    EXPECT_TRUE(AwaitRounds({1, 3}, 2));
    kill(pids[1], SIGKILL);
    EXPECT_TRUE(AwaitRounds({3}, 3));
    shared_->stop = true;
  });
  for (const int rank : {0, 1, 2}) EXPECT_TRUE(outcomes[rank].killed) << outcomes[rank].message;
  EXPECT_EQ(outcomes[3].message, "");
}

TEST_P(MembershipProcessTest, ADeathDuringRecoveryIsOneMore) {
  for (const Trap trap :
       {Trap::kBeforeRegroup, Trap::kDuringRegroup, Trap::kAfterRegroup, Trap::kAfterMeet}) {
    for (const int second : {0, 2}) {  // 0 is the one who would make the record
      new (shared_) Shared;
      shared_->trap = static_cast<int>(trap);
      trap_number_ = second;
      const int left = 2 - second;
      const auto outcomes = Run(4, [&](const std::vector<pid_t>& pids) {
        EXPECT_TRUE(AwaitRounds({0, 1, 2, 3}));
        kill(pids[1], SIGKILL);
        EXPECT_TRUE(AwaitRounds({left, 3}, 2)) << static_cast<int>(trap) << " " << second;
        shared_->stop = true;
      });
      EXPECT_TRUE(outcomes[1].killed);
      EXPECT_TRUE(outcomes[second].killed);
      EXPECT_EQ(outcomes[left].message, "");
      EXPECT_EQ(outcomes[3].message, "");
    }
  }
}

TEST_P(MembershipProcessTest, AStoppedRankIsVotedOutAndKilled) {
  deadline_ = absl::Seconds(2);
  const auto outcomes = Run(3, [&](const std::vector<pid_t>& pids) {
    EXPECT_TRUE(AwaitRounds({0, 1, 2}));
    kill(pids[1], SIGSTOP);
    EXPECT_TRUE(AwaitRounds({0, 2}, 2));
    shared_->stop = true;
  });
  EXPECT_EQ(outcomes[0].message, "");
  EXPECT_TRUE(outcomes[1].killed) << outcomes[1].message;
  EXPECT_EQ(outcomes[2].message, "");
}

// Its watch answers, but it does not come: that is known after a deadline, not after `patience` more.
TEST_P(MembershipProcessTest, AHangingRankIsVotedOutAndKilled) {
  deadline_ = absl::Seconds(2);
  trap_number_ = 0;
  const auto outcomes = Run(3, [&](const std::vector<pid_t>&) {
    EXPECT_TRUE(AwaitRounds({0, 1, 2}));
    const double hung = MonotonicSeconds();
    shared_->trap = static_cast<int>(Trap::kHang);
    EXPECT_TRUE(AwaitRounds({1, 2}, 2));
    EXPECT_LT(MonotonicSeconds() - hung, 13);
    shared_->stop = true;
  });
  EXPECT_TRUE(outcomes[0].killed) << outcomes[0].message;
  EXPECT_EQ(outcomes[1].message, "");
  EXPECT_EQ(outcomes[2].message, "");
}

// Nobody can kill it there, so it must see for itself.
TEST_P(MembershipProcessTest, AStoppedRankOfAnotherMachineWakesUpVotedOut) {
  deadline_ = absl::Seconds(2);
  apart_ = true;
  const auto outcomes = Run(3, [&](const std::vector<pid_t>& pids) {
    EXPECT_TRUE(AwaitRounds({0, 1, 2}));
    kill(pids[0], SIGSTOP);
    EXPECT_TRUE(AwaitRounds({1, 2}, 2));
    kill(pids[0], SIGCONT);
    usleep(300000);
    shared_->stop = true;
  });
  EXPECT_THAT(outcomes[0].message, AllOf(HasSubstr("voted out"), HasSubstr("no sign of life")));
  EXPECT_EQ(outcomes[1].message, "");
  EXPECT_EQ(outcomes[2].message, "");
}

TEST_P(MembershipProcessTest, NewcomersComeInOrAreRefused) {
  most_ = 4;
  const auto outcomes = Run(2, [&](const std::vector<pid_t>& pids) {
    EXPECT_TRUE(AwaitRounds({0, 1}));
    const pid_t stranger = StartNewcomer(0, {{"build", "b1"}, {"recipe", "r2"}});
    int status = 0;
    waitpid(stranger, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(Trouble::kConfig));
    EXPECT_THAT(std::string(shared_->message[0]),
                AllOf(HasSubstr("recipe"), HasSubstr("'r1'"), HasSubstr("'r2'")));
    EXPECT_EQ(shared_->members[0].generation, 1u);
    // Two at once, and one that dies as soon as it is in.
    const pid_t first = StartNewcomer(1, kCredentials), second = StartNewcomer(2, kCredentials);
    EXPECT_TRUE(AwaitRounds({0, 1, 2, 3}, 2));
    // There is no room for a fifth until somebody dies.
    const pid_t third = StartNewcomer(3, kCredentials);
    usleep(1000000);
    const uint64_t generation = shared_->members[0].generation;
    EXPECT_EQ(shared_->members[0].size, 4);
    kill(pids[0], SIGKILL);
    EXPECT_TRUE(AwaitRounds({1, 2, 3, 4}, generation + 1));
    shared_->stop = true;
    for (const pid_t pid : {first, second, third}) {
      waitpid(pid, &status, 0);
      EXPECT_EQ(WEXITSTATUS(status), 0) << shared_->message[1] << shared_->message[2] << shared_->message[3];
    }
  });
  EXPECT_TRUE(outcomes[0].killed);
  EXPECT_EQ(outcomes[1].message, "");
}

TEST_P(MembershipProcessTest, ANewcomerThatDiesDoesNoHarm) {
  const auto outcomes = Run(2, [&](const std::vector<pid_t>&) {
    EXPECT_TRUE(AwaitRounds({0, 1}));
    const pid_t dead = StartNewcomer(0, kCredentials, true);
    waitpid(dead, nullptr, 0);
    EXPECT_TRUE(AwaitRounds({0, 1}, 3));  // in with it, and out again
    const pid_t good = StartNewcomer(1, kCredentials);
    EXPECT_TRUE(AwaitRounds({0, 1, 3}, 4));
    shared_->stop = true;
    waitpid(good, nullptr, 0);
    EXPECT_EQ(shared_->code[1], 0) << shared_->message[1];
  });
  EXPECT_EQ(outcomes[0].message, "");
  EXPECT_EQ(outcomes[1].message, "");
}

INSTANTIATE_TEST_SUITE_P(Backends, MembershipProcessTest, ::testing::Values("shm", "tcp"),
                         [](const auto& info) { return info.param; });

// Machines that all see the folder, but of which one cannot reach the others.
struct Partition {
  std::string name;
  std::vector<int> machines;  // of each rank
  int cut;                    // machine
  std::vector<int> stay;      // ranks
};

class PartitionTest : public MembersTest, public ::testing::WithParamInterface<Partition> {};

TEST_P(PartitionTest, OneSideGoesOn) {
  const Partition& partition = GetParam();
  const int size = static_cast<int>(partition.machines.size());
  auto rig = testing::NetworkRig::Make(partition.machines.back() + 1);
  if (!rig.ok()) GTEST_SKIP() << "no machines to test with: " << rig.status().message();
  deadline_ = absl::Seconds(2);
  connect_deadline_ = absl::Seconds(4);
  std::vector<int> all(size);
  std::iota(all.begin(), all.end(), 0);
  const auto outcomes = Run(
      size,
      [&](const std::vector<pid_t>&) {
        EXPECT_TRUE(AwaitRounds(all));
        EXPECT_TRUE((*rig)->Cut(partition.cut).ok());
        EXPECT_TRUE(AwaitRounds(partition.stay, 3));  // the second was tried with all
        shared_->stop = true;
      },
      [&](int rank) { (*rig)->Enter(partition.machines[rank]); });
  for (int rank = 0; rank < size; ++rank) {
    if (std::count(partition.stay.begin(), partition.stay.end(), rank) != 0) {
      EXPECT_EQ(outcomes[rank].message, "") << rank;
    } else {
      EXPECT_THAT(outcomes[rank].message, AllOf(HasSubstr("voted out"), HasSubstr("could not reach")))
          << rank;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cuts, PartitionTest,
                         ::testing::Values(Partition{"TheLast", {0, 1, 2, 3}, 3, {0, 1, 2}},
                                           Partition{"TheFirst", {0, 1, 2, 3}, 0, {1, 2, 3}},
                                           Partition{"Halves", {0, 0, 1, 1}, 0, {0, 1}},
                                           Partition{"TheSmallerPart", {0, 1, 1}, 0, {1, 2}}),
                         [](const auto& info) { return info.param.name; });

TEST(ProcessTest, StatesAndKills) {
  EXPECT_EQ(StateOf(ThisProcess()), ProcessState::kLives);
  EXPECT_FALSE(KillProcess(ThisProcess()));
  const pid_t pid = fork();
  if (pid == 0) {
    while (true) pause();
  }
  // Its start time, as it would have said itself.
  std::ifstream stat(absl::StrCat("/proc/", pid, "/stat"));
  std::string field;
  for (int i = 0; i < 22; ++i) stat >> field;  // the name has no spaces here
  const ProcessId child{pid, std::stoull(field)};
  EXPECT_EQ(StateOf(child), ProcessState::kLives);
  EXPECT_TRUE(WatchProcess(child).valid());
  kill(pid, SIGSTOP);
  int status;
  waitpid(pid, &status, WUNTRACED);
  EXPECT_EQ(StateOf(child), ProcessState::kStopped);
  const ProcessId later{pid, child.began + 1};  // another process with its number
  EXPECT_EQ(StateOf(later), ProcessState::kGone);
  EXPECT_FALSE(KillProcess(later));
  EXPECT_EQ(StateOf(child), ProcessState::kStopped);
  EXPECT_TRUE(KillProcess(child));
  siginfo_t info;
  waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
  EXPECT_EQ(StateOf(child), ProcessState::kGone);  // a zombie
  EXPECT_FALSE(WatchProcess(child).valid());
  EXPECT_FALSE(KillProcess(child));
  waitpid(pid, nullptr, 0);
  EXPECT_EQ(StateOf(child), ProcessState::kGone);
}

// A generation's communicator is destroyed with peers dead or stopped: that may not wait for them.
class DestructionTest : public ::testing::TestWithParam<std::string> {};

int OpenFiles() {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                        std::filesystem::directory_iterator()));
}

TEST_P(DestructionTest, IsPromptAndLeaksNothing) {
  void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  // `passed` counts who is out of the barrier: a rank that dies just behind it may take its last message to
  // another one along.
  auto* const done = new (memory) std::atomic<int>(0);
  auto* const passed = new (static_cast<char*>(memory) + 64) std::atomic<int>(0);
  for (const int signal : {SIGKILL, SIGSTOP}) {
    *done = 0;
    *passed = 0;
    CommunicatorOptions options;
    options.backend = GetParam();
    options.deadline = absl::Seconds(60);
    const auto outcomes = testing::RunRankProcesses(
        4, options,
        [&](Communicator& first) -> absl::Status {
          const int before = OpenFiles();
          auto comm = first.Split(0, first.rank());
          RETURN_IF_ERROR(comm.status());
          PeerBuffer buffer = (*comm)->AllocatePeerBuffer(1 << 20).value();
          const auto values = buffer.as<float>();
          const Buffer all = BufferOf(values);
          RETURN_IF_ERROR((*comm)->AllReduce(all, all, ReduceOp::kSum));
          RETURN_IF_ERROR(first.Barrier());
          ++*passed;
          while (first.rank() == 1 && *passed < 4) usleep(1000);
          if (first.rank() == 1) raise(signal);
          // Under way when the news comes from somewhere else.
          std::thread teller([&] {
            usleep(200000);
            (*comm)->Abort(PeerError("told"));
          });
          const auto work = (*comm)->StartAllReduce(all, all, ReduceOp::kSum);
          const absl::Status failed = work->Wait();
          teller.join();
          const double start = MonotonicSeconds();
          if (failed.ok() || !(*comm)->Failing()) return absl::InternalError("it did not fail");
          comm->reset();
          buffer = PeerBuffer();
          const double took = MonotonicSeconds() - start;
          ++*done;
          if (took > 5) return absl::InternalError(absl::StrCat("destruction took ", took, " s"));
          if (OpenFiles() != before)
            return absl::InternalError(absl::StrCat(before, " files, now ", OpenFiles()));
          return absl::OkStatus();
        },
        [&](const std::vector<pid_t>& pids) {
          const Deadline patience = Deadline::After(absl::Seconds(30));
          while (*done < 3 && !patience.Passed()) usleep(10000);
          kill(pids[1], SIGKILL);
        });
    for (const int rank : {0, 2, 3}) EXPECT_EQ(outcomes[rank].message, "") << signal;
  }
  munmap(memory, 4096);
}

INSTANTIATE_TEST_SUITE_P(Backends, DestructionTest, ::testing::Values("shm", "tcp", "hier_pairs"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lockstep::comm
