#include "comm/mpi/mpi_launch.h"

#include <initializer_list>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace lockstep::comm {
namespace {

std::string FirstOf(const Environment& environment, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    std::string value = environment(name);
    if (!value.empty()) return value;
  }
  return "";
}

// "Open MPI v4.1.4, package: ..." is mostly not for people.
std::string NameOfLibrary(absl::string_view library) {
  const std::vector<absl::string_view> parts = absl::StrSplit(library, absl::ByAnyChar(",\n"));
  const std::vector<absl::string_view> words =
      absl::StrSplit(parts[0], absl::ByAnyChar(" \t:"), absl::SkipEmpty());
  return absl::StrJoin(words, " ");
}

std::string NameOfLauncher(const Environment& environment) {
  if (!environment("LOCKSTEP_RANK").empty()) return "`lockstep launch`";
  if (!environment("OMPI_COMM_WORLD_RANK").empty()) return "Open MPI's mpirun";
  if (!environment("SLURM_STEP_NUM_TASKS").empty()) return "srun";
  if (!environment("PMI_RANK").empty()) return "MPICH's mpirun (or another with PMI)";
  return "no launcher of MPI programs";
}

}  // namespace

absl::StatusOr<MpiJob> MpiJobFromEnvironment(const Environment& environment, absl::string_view library) {
  // Open MPI finds its peers through PMIx alone; MPICH and its kin through PMI or PMIx. Without these
  // MPI_Init makes a world of one, or waits for nobody.
  const bool open_mpi = absl::StrContains(library, "Open MPI");
  MpiJob job;
  job.name = environment("PMIX_NAMESPACE");
  if (job.name.empty() && !open_mpi) job.name = FirstOf(environment, {"PMI_KVSNAME", "PMI_JOBID"});
  // MPICH's mpirun gives every rank a connection of its own, and no name that could be known without MPI_Init.
  if (job.name.empty() && !open_mpi && !FirstOf(environment, {"PMI_FD", "PMI_PORT"}).empty())
    job.name = "unnamed";
  if (job.name.empty()) {
    const std::string remedy =
        open_mpi ? "Open MPI's mpirun, or srun --mpi=pmix" : "that library's mpiexec, or srun --mpi=pmi2";
    return ConfigError(absl::StrCat(
        "backend mpi needs ranks that the launcher of its own MPI library started: this is ",
        NameOfLibrary(library), ", and these ranks were started by ", NameOfLauncher(environment),
        ". Start them with ", remedy, ", or use another backend (auto, shm, tcp)"));
  }
  const std::string size = FirstOf(environment, {"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "PMI_SIZE"});
  if (!size.empty() && (!absl::SimpleAtoi(size, &job.size) || job.size < 1)) {
    return ConfigError(
        absl::StrCat("backend mpi: the launcher says that the job has '", size, "' processes"));
  }
  return job;
}

}  // namespace lockstep::comm
