// Members as threads of this process, which cannot die one by one: deaths are tested in
// membership_process_test.cc.
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

#include "absl/strings/cord.h"
#include "absl/time/clock.h"
#include "comm/culprits.h"
#include "comm/factory.h"
#include "comm/membership/files.h"
#include "comm/membership/rules.h"
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

TEST_F(MembershipTest, WhoLeftInOrderIsNotWaitedFor) {
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

// Its watch answers for it.
TEST_F(MembershipTest, WhoIsBusyForLongerThanSettleIsWaitedFor) {
  apart_ = true;
  const auto statuses = Statuses(3, [&](Membership& membership, int rank) -> absl::Status {
    if (rank == 1) {
      absl::SleepFor(absl::Seconds(4));  // its watch shows life for longer than `settle`
    }
    RETURN_IF_ERROR(membership.Regroup({.reason = kFailure}));
    EXPECT_EQ(membership.size(), 3);
    return Sum(membership);
  });
  for (const auto& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

TEST_F(MembershipTest, WhoDoesNotComeInTimeIsVotedOut) {
  std::atomic<int> formed{0};
  const auto statuses = testing::StatusesOfRanks(
      {.size = 3, .backend = "tcp", .what = "membership"}, [&](Communicator& comm) -> absl::Status {
        MembershipOptions options = Options();
        options.settle = absl::Milliseconds(500);
        options.patience = absl::Seconds(2);
        ASSIGN_OR_RETURN(auto membership, Membership::Begin(comm, kCredentials, options));
        if (comm.rank() == 0) {
          while (formed < 2) absl::SleepFor(absl::Milliseconds(20));
          EXPECT_THAT(std::string(membership->CheckCurrent().message()),
                      HasSubstr("generation 2 has been formed"));
          return membership->Regroup({.reason = kFailure});
        }
        RETURN_IF_ERROR(membership->Regroup({.reason = kFailure}));
        EXPECT_EQ(membership->size(), 2);
        EXPECT_EQ(membership->rank(), comm.rank() - 1);
        ++formed;
        return Sum(*membership);
      });
  EXPECT_THAT(std::string(statuses[0].message()),
              AllOf(HasSubstr("voted out"), HasSubstr("did not come within 2s")));
  EXPECT_TRUE(statuses[1].ok()) << statuses[1];
  EXPECT_TRUE(statuses[2].ok()) << statuses[2];
}

TEST_F(MembershipTest, ALaterStartTakesOver) {
  ASSERT_TRUE(std::filesystem::create_directories(folder_ / "mine"));
  Run(1, [&](Membership& first, int) -> absl::Status {
    const std::filesystem::path earlier = Start();
    RETURN_IF_ERROR(testing::RunRanks({.size = 2, .backend = "tcp"}, [&](Communicator& comm) -> absl::Status {
      return Membership::Begin(comm, kCredentials, Options()).status();
    }));
    EXPECT_FALSE(std::filesystem::exists(earlier));
    EXPECT_TRUE(std::filesystem::exists(folder_ / "mine"));  // whatever it is, no start of a run
    EXPECT_THAT(std::string(first.CheckCurrent().message()), HasSubstr("a later start"));
    EXPECT_THAT(std::string(first.Regroup({.reason = kFailure}).message()), HasSubstr("a later start"));
    EXPECT_FALSE(first.Regroup({.reason = kFailure}).ok());
    EXPECT_FALSE(first.Meet(absl::Seconds(1)).ok());
    return absl::OkStatus();
  });
}

TEST_F(MembershipTest, AFolderThatCannotBeMadeIsNamedByAll) {
  std::ofstream(folder_) << "a file";
  folder_ /= "membership";
  for (const absl::Status& status : Statuses(2, [](Membership&, int) { return absl::OkStatus(); })) {
    EXPECT_EQ(TroubleOf(status), Trouble::kConfig);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(folder_.string()), HasSubstr("Not a directory")));
  }
  folder_ = folder_.parent_path();
}

TEST_F(MembershipTest, AFolderThatGoesAwayIsAnError) {
  Run(1, [&](Membership& membership, int) -> absl::Status {
    std::filesystem::remove_all(folder_);
    EXPECT_THAT(std::string(membership.CheckCurrent().message()), HasSubstr("is gone"));
    EXPECT_EQ(TroubleOf(membership.Regroup({.reason = kFailure})), Trouble::kPeer);
    return absl::OkStatus();
  });
}

TEST_F(MembershipTest, JoiningARunThatIsNotThereEndsInTime) {
  MembershipOptions options = Options();
  options.patience = absl::Milliseconds(300);
  EXPECT_THAT(std::string(Membership::Join(kCredentials, options, nullptr).status().message()),
              HasSubstr("there is no run to join"));
  Run(1, [&](Membership& membership, int) { return membership.Regroup({.leaving = true}); });
  EXPECT_THAT(std::string(Membership::Join(kCredentials, options, nullptr).status().message()),
              HasSubstr("nobody of the run"));
  const std::atomic<int> stop{15};
  EXPECT_THAT(std::string(Membership::Join(kCredentials, options, &stop).status().message()),
              HasSubstr("stopped"));
  EXPECT_TRUE(NamesIn((Start() / "joins").string()).empty());
}

TEST_F(MembershipTest, NewcomersAsThreads) {
  absl::Status joined;
  std::thread newcomer([&] {
    auto membership = Membership::Join(kCredentials, Options(5), nullptr);
    joined = membership.status();
    if (!joined.ok()) return;
    EXPECT_EQ((*membership)->number(), 2);
    EXPECT_EQ((*membership)->generation(), 2u);
    EXPECT_EQ((*membership)->rank(), 2);
    joined = Sum(**membership);
  });
  Run(2, [&](Membership& membership, int rank) -> absl::Status {
    while (membership.Newcomers() == 0) absl::SleepFor(absl::Milliseconds(10));
    RETURN_IF_ERROR(membership.Regroup({}));
    EXPECT_EQ(membership.size(), 3);
    EXPECT_THAT(membership.Describe(), HasSubstr("new: rank 2"));
    EXPECT_EQ(membership.rank(), rank);
    return Sum(membership);
  });
  newcomer.join();
  EXPECT_TRUE(joined.ok()) << joined;
}

// Whatever lies in the folder, the run goes on or says which file is wrong.
TEST_F(MembershipTest, GarbageIsIgnored) {
  const std::string huge(3 << 20, 'x'), deep(900'000, '[');
  Run(2, [&](Membership& membership, int rank) -> absl::Status {
    if (rank == 0) {
      const auto put = [&](const std::filesystem::path& path, const std::string& contents) {
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << contents;
      };
      const auto joins = Start() / "joins";
      int asks = 0;
      const auto ask = [&] {
        return joins / absl::StrCat("ask-", absl::Hex(++asks, absl::kZeroPad16), "0123456789abcdef");
      };
      for (const std::string& text :
           {std::string(), std::string("{}"), std::string("{\"version\":1,\"id\":7}"), huge, deep}) {
        put(ask(), text);
        put(joins / absl::StrCat("ask-", text.substr(0, 3)), text);
      }
      EXPECT_EQ(mkfifo(ask().c_str(), 0600), 0);
      std::filesystem::create_directories(ask());
      std::filesystem::create_symlink("/dev/zero", ask());
      put(Start() / "gen-2" / "present-7", "who");
      put(Start() / "gen-2" / "present-x", huge);
      put(Start() / "gen-2" / "alive-1", huge);
      put(Start() / "gen-99999999999999999999" / "record", deep);
    }
    absl::SleepFor(absl::Milliseconds(600));  // the watch looks at it
    EXPECT_EQ(membership.Newcomers(), 0);
    RETURN_IF_ERROR(membership.Regroup({.reason = kFailure}));
    EXPECT_EQ(membership.size(), 2);
    return Sum(membership);
  });
}

TEST_F(MembershipTest, ADamagedRecordIsNamed) {
  Run(2, [&](Membership& membership, int) -> absl::Status {
    std::filesystem::create_directories(Start() / "gen-2");
    std::ofstream(Start() / "gen-2" / "record") << "{\"version\":1}";
    const absl::Status status = membership.Regroup({.reason = kFailure});
    EXPECT_EQ(TroubleOf(status), Trouble::kPeer);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("gen-2/record is damaged"), HasSubstr("generation")));
    return absl::OkStatus();
  });
}

MembershipRecord SomeRecord() {
  MembershipRecord record;
  record.generation = 7;
  record.members = {{3, "a machine", 123, 456}, {5, "\xff\"{", 1, UINT64_MAX >> 1}};
  record.requests = {"", "0123"};
  record.leaving = {1};
  record.out = {{2, "it was silent"}, {4, "it died"}};
  record.next_number = 6;
  record.reason = "because";
  return record;
}

TEST(MembershipFormatsTest, RecordsComeBack) {
  MembershipRecord record = SomeRecord();
  record.members[1].machine = "other";
  const auto back = RecordFromText(ToText(record));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->generation, 7u);
  ASSERT_EQ(back->members.size(), 2u);
  EXPECT_EQ(back->members[1].number, 5);
  EXPECT_EQ(back->members[1].machine, "other");
  EXPECT_EQ(back->members[1].pid_began, UINT64_MAX >> 1);
  EXPECT_EQ(back->requests, record.requests);
  EXPECT_EQ(back->leaving, record.leaving);
  EXPECT_EQ(back->out, record.out);
  EXPECT_EQ(back->next_number, 6);
  EXPECT_EQ(back->reason, "because");
}

TEST(MembershipFormatsTest, DamageIsAnErrorNeverACrash) {
  Presence presence;
  presence.suspects = {1, 2};
  JoinRequest request;
  request.id = "0123";
  request.credentials = kCredentials;
  for (const std::string& text : {ToText(SomeRecord()), ToText(presence), ToText(request)}) {
    const auto parse = [](const std::string& bytes) {
      return RecordFromText(bytes).ok() + PresenceFromText(bytes).ok() + RequestFromText(bytes).ok();
    };
    EXPECT_EQ(parse(text), 1) << text;
    for (size_t length = 0; length + 1 < text.size(); ++length) EXPECT_EQ(parse(text.substr(0, length)), 0);
    for (size_t i = 0; i < text.size(); ++i) {
      for (const char byte : {'\0', '"', '9', '-', '[', '}', '\xff'}) {
        std::string damaged = text;
        damaged[i] = byte;
        EXPECT_LE(parse(damaged), 1);
      }
    }
  }
}

TEST(CulpritsTest, TravelWithTheStatus) {
  const absl::Status status = WithCulprits(Annotate(WithCulprits(PeerError("x"), {3, 1}), "y"), {2, 3});
  EXPECT_THAT(CulpritsOf(status), ElementsAre(1, 2, 3));
  EXPECT_EQ(TroubleOf(status), Trouble::kPeer);
  EXPECT_TRUE(CulpritsOf(PeerError("x")).empty());
  EXPECT_TRUE(WithCulprits(absl::OkStatus(), {1}).ok());
  absl::Status damaged = PeerError("x");
  damaged.SetPayload("lockstep/culprits", absl::Cord("7,x,-3,99999999999999999999,,5"));
  EXPECT_THAT(CulpritsOf(damaged), ElementsAre(5, 7));
}

TEST(CulpritsTest, AMissingRankIsTheCulprit) {
  for (const std::string backend : {"shm", "tcp"}) {
    const auto statuses = testing::StatusesOfMeetings({.size = 3}, [&](Meeting& meeting) {
      if (meeting.rank() == 1) return absl::OkStatus();
      CommunicatorOptions options;
      options.backend = backend;
      options.connect_deadline = absl::Milliseconds(300);
      return MakeCommunicator(meeting, options).status();
    });
    EXPECT_THAT(CulpritsOf(statuses[0]), ElementsAre(1));
    EXPECT_THAT(CulpritsOf(statuses[2]), ElementsAre(1));
  }
}

Candidate Here(int number, std::vector<int> suspects = {}) {
  Candidate candidate;
  candidate.member = {number, "m", 1, 1};
  candidate.present = true;
  candidate.suspects = std::move(suspects);
  return candidate;
}

TEST(MembershipRulesTest, WhoCannotReachEachOther) {
  EXPECT_THAT(Unreachable({Here(0), Here(1)}), ElementsAre());
  EXPECT_THAT(Unreachable({Here(0), Here(1, {0}), Here(2)}), ElementsAre(1));     // one line: the higher goes
  EXPECT_THAT(Unreachable({Here(0, {1, 2}), Here(1), Here(2)}), ElementsAre(0));  // alone
  EXPECT_THAT(Unreachable({Here(0), Here(1, {0}), Here(2, {0})}), ElementsAre(0));
  EXPECT_THAT(Unreachable({Here(0, {2}), Here(1), Here(2), Here(3, {1})}), ElementsAre(2, 3));
  EXPECT_THAT(Unreachable({Here(0, {7, 0})}), ElementsAre());  // strangers, itself
  Candidate gone = Here(1, {0});
  gone.present = false;
  EXPECT_THAT(Unreachable({Here(0, {1}), gone, Here(2)}), ElementsAre());
}

TEST(MembershipRulesTest, RanksOfAMachineAreConsecutive) {
  std::vector<Member> members{{5, "a", 0, 0}, {0, "b", 0, 0}, {3, "b", 0, 0}, {2, "a", 0, 0}, {1, "c", 0, 0}};
  SortByMachine(members);
  std::vector<int> numbers;
  for (const Member& member : members) numbers.push_back(member.number);
  EXPECT_THAT(numbers, ElementsAre(0, 3, 1, 2, 5));
}

TEST(MembershipRulesTest, NewcomersGetFreshNumbersWhileThereIsRoom) {
  const JoinRequest a{.id = "a", .member = {0, "m", 7, 7}, .credentials = {}},
      b{.id = "b", .member = {}, .credentials = {}};
  const auto record = NextRecord(2, {Here(0), Here(4)}, 0, {a, b}, 3, 9);
  ASSERT_EQ(record.members.size(), 3u);
  EXPECT_EQ(record.members[2].number, 9);
  EXPECT_EQ(record.RankOf("a"), 2);
  EXPECT_EQ(record.RankOf("b"), -1);
  EXPECT_EQ(record.RankOf(""), -1);
  EXPECT_EQ(record.next_number, 10);
  EXPECT_EQ(NextRecord(2, {Here(0), Here(4)}, 1, {a}, 8, 9).members.size(), 1u);  // shrinking lets nobody in
}

TEST(MembershipRulesTest, CredentialsNameWhatDiffers) {
  EXPECT_TRUE(CompareCredentials(kCredentials, {{"recipe", "r1"}, {"build", "b1"}}).ok());
  const auto text = [](const Credentials& newcomer) {
    return std::string(CompareCredentials(kCredentials, newcomer).message());
  };
  EXPECT_THAT(text({{"build", "b2"}, {"recipe", "r1"}}),
              AllOf(HasSubstr("build"), HasSubstr("'b1'"), HasSubstr("'b2'")));
  EXPECT_THAT(text({{"build", "b1"}}), HasSubstr("nothing of its 'recipe'"));
  EXPECT_THAT(text({{"build", "b1"}, {"recipe", "r1"}, {"moon", "full"}}), HasSubstr("'moon'"));
}

}  // namespace
}  // namespace lockstep::comm
