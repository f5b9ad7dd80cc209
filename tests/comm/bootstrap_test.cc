#include "comm/bootstrap.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/file_meeting.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<World> WorldOf(std::map<std::string, std::string> variables) {
  return WorldFromEnvironment([variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  });
}

TEST(EnvironmentTest, KnowsTheLaunchers) {
  EXPECT_EQ(WorldOf({})->size, 1);
  EXPECT_EQ(WorldOf({})->warning, "");
  const World mpi = *WorldOf({{"OMPI_COMM_WORLD_RANK", "3"},
                              {"OMPI_COMM_WORLD_SIZE", "4"},
                              {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                              {"PMIX_NAMESPACE", "job1"}});
  EXPECT_EQ(mpi.rank, 3);
  EXPECT_EQ(mpi.size, 4);
  EXPECT_EQ(mpi.local_rank, 1);
  EXPECT_EQ(mpi.launcher, "openmpi");
  EXPECT_EQ(mpi.job, "job1");
  EXPECT_TRUE(mpi.pmix);
  EXPECT_EQ(WorldOf({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}})->launcher, "pmi");
  // The script of a Slurm batch job is no step.
  EXPECT_EQ(WorldOf({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}})->size, 1);
  EXPECT_EQ(WorldOf({{"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "8"}})->rank, 5);
  const World own = *WorldOf({{"LOCKSTEP_RANK", "0"},
                              {"LOCKSTEP_SIZE", "2"},
                              {"LOCKSTEP_MEETING", "fd:7"},
                              {"OMPI_COMM_WORLD_RANK", "0"},
                              {"OMPI_COMM_WORLD_SIZE", "1"}});
  EXPECT_EQ(own.size, 2);
  EXPECT_EQ(own.meeting_place, "fd:7");
}

TEST(EnvironmentTest, NamesWhatCannotBe) {
  EXPECT_THAT(std::string(WorldOf({{"PMI_RANK", "2"}, {"PMI_SIZE", "2"}}).status().message()),
              HasSubstr("rank 2 of 2"));
  EXPECT_THAT(std::string(WorldOf({{"PMI_RANK", "two"}, {"PMI_SIZE", "2"}}).status().message()),
              AllOf(HasSubstr("PMI_RANK"), HasSubstr("'two'")));
  EXPECT_THAT(WorldOf({{"HYDI_CONTROL_FD", "5"}})->warning, HasSubstr("world of one"));
}

class FileMeetingTest : public ::testing::Test {
 protected:
  FileMeetingTest() {
    char name[] = "/tmp/meeting-test-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~FileMeetingTest() override { std::filesystem::remove_all(folder_); }

  // Ranks [0, size) as threads, started with a delay each; their values exchanged twice.
  std::vector<absl::Status> Meet(int size, const std::vector<int>& delays_ms,
                                 absl::Duration deadline = absl::Seconds(10)) {
    std::vector<absl::Status> results(size);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        usleep(delays_ms[rank] * 1000);
        results[rank] = [&]() -> absl::Status {
          ASSIGN_OR_RETURN(auto meeting, JoinFileMeeting(Path(), rank, size, Deadline::After(deadline)));
          for (const char* name : {"first", "second"}) {
            ASSIGN_OR_RETURN(auto values,
                             meeting->Exchange(name, absl::StrCat(name, rank), Deadline::After(deadline)));
            for (int peer = 0; peer < size; ++peer) {
              if (values[peer] != absl::StrCat(name, peer)) return absl::InternalError("a wrong value");
            }
          }
          return absl::OkStatus();
        }();
      });
    }
    for (std::thread& thread : threads) thread.join();
    return results;
  }
  std::string Path() const { return MeetingPath(folder_ + "/not/yet/there", "job"); }
  std::string folder_;
};

TEST_F(FileMeetingTest, RanksMeetAndLeaveNothing) {
  for (const absl::Status& status : Meet(4, {0, 0, 0, 0})) EXPECT_TRUE(status.ok()) << status;
  EXPECT_FALSE(std::filesystem::exists(Path()));
}

TEST_F(FileMeetingTest, RemainsOfAKilledStartConfuseNobody) {
  // What a start leaves that was killed after it had met: with its secret, addresses and acceptances.
  std::filesystem::create_directories(std::filesystem::path(Path()).parent_path());
  {
    std::FILE* file = std::fopen(Path().c_str(), "w");
    std::fclose(file);
  }
  std::filesystem::permissions(Path(), std::filesystem::perms(0600));
  auto stale = *OpenFileStore(Path());
  ASSERT_TRUE(stale->Put("secret", std::string(32, 's')).ok());
  for (const char* key : {"join/1", "accept/1", "join/2", "accept/2", "first/0", "first/1"}) {
    ASSERT_TRUE(stale->Put(key, "stale").ok());
  }
  for (const absl::Status& status : Meet(3, {300, 0, 0})) EXPECT_TRUE(status.ok()) << status;
}

TEST_F(FileMeetingTest, TheFileIsPrivate) {
  std::thread other([&] {
    for (int i = 0; i < 2000; ++i) {
      struct stat info;
      if (stat(Path().c_str(), &info) == 0) {
        EXPECT_EQ(info.st_mode & 0777, 0600u);
        return;
      }
      usleep(1000);
    }
    ADD_FAILURE() << "no file was made";
  });
  for (const absl::Status& status : Meet(2, {0, 100})) EXPECT_TRUE(status.ok()) << status;
  other.join();
}

// Somebody's file, named by mistake.
TEST_F(FileMeetingTest, WhatIsNoMeetingFileIsLeftAlone) {
  const std::string path = folder_ + "/thesis.txt";
  std::filesystem::create_directories(folder_);
  std::ofstream(path) << "years of work";
  for (const int rank : {0, 1}) {
    const auto status = JoinFileMeeting(path, rank, 2, Deadline::After(absl::Milliseconds(100))).status();
    EXPECT_EQ(TroubleOf(status), Trouble::kConfig) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("no meeting file"));
  }
  std::string text;
  std::getline(std::ifstream(path), text);
  EXPECT_EQ(text, "years of work");
}

TEST_F(FileMeetingTest, AFileThatOthersCanWriteIsNotBelieved) {
  const std::string path = folder_ + "/laid-out";
  std::filesystem::create_directories(folder_);
  std::ofstream(path).close();
  ASSERT_TRUE((*OpenFileStore(path))->Put("secret", std::string(32, 's')).ok());
  std::filesystem::permissions(path, std::filesystem::perms(0666));
  const auto status = JoinFileMeeting(path, 1, 2, Deadline::After(absl::Milliseconds(100))).status();
  EXPECT_EQ(TroubleOf(status), Trouble::kConfig) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("0600"));
}

TEST_F(FileMeetingTest, MissingRanksAreNamed) {
  const auto status = JoinFileMeeting(Path(), 0, 3, Deadline::After(absl::Milliseconds(100))).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("did not come: 1, 2"));
  const auto nobody = JoinFileMeeting(Path(), 1, 3, Deadline::After(absl::Milliseconds(100))).status();
  EXPECT_THAT(std::string(nobody.message()), HasSubstr("Did rank 0 start"));
}

TEST(MeetTest, InheritedPlaceServesThreadsOfOneProcess) {
  const int fd = *MakeInheritedMeetingPlace();
  std::vector<std::thread> threads;
  std::vector<std::vector<std::string>> values(2);
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      World world;
      world.rank = rank;
      world.size = 2;
      world.meeting_place = absl::StrCat("fd:", fd);
      auto meeting = *Meet(world, {});
      values[rank] = *meeting->Exchange("x", absl::StrCat("v", rank), Deadline::After(absl::Seconds(5)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  close(fd);
  for (const auto& one : values) EXPECT_THAT(one, ElementsAre("v0", "v1"));
}

TEST(MeetTest, NoPlaceIsAConfigurationError) {
  World world;
  world.size = 2;
  const absl::Status status = Meet(world, {}).status();
  EXPECT_EQ(TroubleOf(status), Trouble::kConfig);
  world.meeting_place = "fd:999";
  EXPECT_EQ(TroubleOf(Meet(world, {}).status()), Trouble::kConfig);
}

TEST(AgreementTest, ADifferenceNamesFieldValuesAndRanks) {
  const auto statuses = testing::StatusesOfRanks({.size = 4, .backend = "shm"}, [](Communicator& comm) {
    return CheckAgreement(comm, {{"build", "b1"}, {"config", comm.rank() == 2 ? "abc" : "xyz"}});
  });
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(TroubleOf(status), Trouble::kConfig);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("config"), HasSubstr("'abc' on rank 2"),
                                                     HasSubstr("'xyz' on ranks 0, 1, 3")));
  }
}

TEST(AgreementTest, TextsOfAnyLengthAreGathered) {
  const absl::Status status =
      testing::RunRanks({.size = 3, .backend = "tcp"}, [](Communicator& comm) -> absl::Status {
        ASSIGN_OR_RETURN(const auto texts,
                         AllGatherText(comm, std::string(comm.rank() * 1000, 'a' + comm.rank())));
        for (int rank = 0; rank < 3; ++rank) {
          if (texts[rank] != std::string(rank * 1000, 'a' + rank)) return absl::InternalError("a wrong text");
        }
        return CheckAgreement(comm, {{"same", "everywhere"}});
      });
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace lockstep::comm
