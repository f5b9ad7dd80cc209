// What the backend mpi says where MPI cannot work: at once, on every rank, and with a reason.
#include "comm/mpi/mpi_launch.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/clock.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr char kOpenMpi[] = "Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4";
constexpr char kMpich[] = "MPICH Version:      4.0.2\nMPICH Release date: today";

absl::StatusOr<MpiJob> Job(const std::map<std::string, std::string>& variables, const char* library) {
  return MpiJobFromEnvironment(
      [&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? std::string() : found->second;
      },
      library);
}

TEST(MpiLaunchTest, TheLibrarysOwnLaunchersAreKnown) {
  auto job =
      Job({{"PMIX_NAMESPACE", "7"}, {"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "1"}}, kOpenMpi);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->name, "7");
  EXPECT_EQ(job->size, 4);
  job = Job({{"PMIX_NAMESPACE", "slurm.pmix.3.0"}, {"SLURM_STEP_NUM_TASKS", "16"}}, kOpenMpi);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->size, 16);
  job = Job({{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}, {"PMI_FD", "7"}}, kMpich);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->size, 2);
  // Every rank has a connection of its own; the job is the same.
  const auto other = Job({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"PMI_FD", "9"}}, kMpich);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->name, job->name);
}

TEST(MpiLaunchTest, OtherLaunchersAreNamed) {
  const auto message = [](const absl::StatusOr<MpiJob>& job) {
    EXPECT_EQ(TroubleOf(job.status()), Trouble::kConfig);
    return std::string(job.status().message());
  };
  EXPECT_THAT(message(Job({}, kOpenMpi)),
              AllOf(HasSubstr("this is Open MPI v4.1.4,"), HasSubstr("no launcher of MPI"),
                    HasSubstr("Open MPI's mpirun, or srun --mpi=pmix")));
  EXPECT_THAT(message(Job({{"LOCKSTEP_RANK", "0"}, {"LOCKSTEP_SIZE", "2"}}, kOpenMpi)),
              HasSubstr("`lockstep launch`"));
  EXPECT_THAT(message(Job({{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}, {"PMI_FD", "7"}}, kOpenMpi)),
              HasSubstr("started by MPICH's mpirun"));
  EXPECT_THAT(message(Job({{"SLURM_STEP_NUM_TASKS", "2"}}, kOpenMpi)), HasSubstr("started by srun"));
  EXPECT_THAT(message(Job({{"OMPI_COMM_WORLD_RANK", "0"}}, kMpich)),
              AllOf(HasSubstr("this is MPICH Version 4.0.2"), HasSubstr("started by Open MPI's mpirun")));
  EXPECT_THAT(message(Job({{"PMIX_NAMESPACE", "7"}, {"OMPI_COMM_WORLD_SIZE", "many"}}, kOpenMpi)),
              HasSubstr("'many' processes"));
}

// These ranks are threads of one process that nobody's mpirun started (or, without MPI, there is no such backend).
TEST(MpiLaunchTest, WithoutALauncherNoRankWaits) {
  const double begin = MonotonicSeconds();
  const auto statuses = testing::StatusesOfRanks({.size = 3, .backend = "mpi", .what = "mpi without mpirun"},
                                                 [](Communicator&) { return absl::OkStatus(); });
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(TroubleOf(status), Trouble::kConfig) << status;
    EXPECT_THAT(std::string(status.message()),
                AnyOf(HasSubstr("no launcher of MPI programs"), HasSubstr("built without an MPI library")));
  }
  EXPECT_LT(MonotonicSeconds() - begin, 5);
}

}  // namespace
}  // namespace lockstep::comm
