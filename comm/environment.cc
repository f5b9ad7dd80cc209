// Who this process is, as its launcher tells in the environment.
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "comm/bootstrap.h"

namespace lockstep::comm {
namespace {

struct Names {
  const char* launcher;
  const char* rank;
  const char* size;
  const char* local_rank;
};

// The first of these whose rank and size are both set. A Slurm batch script has SLURM_PROCID too, but only
// steps (srun) have the number of tasks of the step.
constexpr Names kLaunchers[] = {
    {"lockstep", "LOCKSTEP_RANK", "LOCKSTEP_SIZE", "LOCKSTEP_LOCAL_RANK"},
    {"openmpi", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
    {"slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
    {"pmi", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
};

// Signs of a launcher of parallel programs that says rank and size in no way known here.
constexpr const char* kHints[] = {
    "PMI_FD",          "PMI_PORT",          "PMIX_RANK",           "MPIRUN_RANK",
    "MPI_LOCALNRANKS", "HYDI_CONTROL_FD",   "MV2_COMM_WORLD_RANK", "PALS_RANKID",
    "FLUX_TASK_RANK",  "JSM_NAMESPACE_RANK"};

absl::StatusOr<int> ReadInt(const Environment& environment, const char* name) {
  int value = 0;
  const std::string text = environment(name);
  if (absl::SimpleAtoi(text, &value) && value >= 0) return value;
  return ConfigError(
      absl::StrCat("the environment variable ", name, " holds '", text, "', which is no count"));
}

// What tells this start of the job from every other, for the name of the meeting file.
std::string JobOf(const Environment& environment) {
  for (const char* name :
       {"LOCKSTEP_JOB", "PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_KVSNAME", "PMI_JOBID"}) {
    const std::string value = environment(name);
    if (!value.empty()) return value;
  }
  const std::string job = environment("SLURM_JOB_ID"), step = environment("SLURM_STEP_ID");
  return job.empty() ? "" : absl::StrCat("slurm-", job, "-", step);
}

}  // namespace

absl::StatusOr<World> WorldFromEnvironment(const Environment& environment) {
  World world;
  world.job = JobOf(environment);
  world.pmix = !environment("PMIX_NAMESPACE").empty();
  world.meeting_place = environment("LOCKSTEP_MEETING");
  world.elastic =
      environment("LOCKSTEP_ELASTIC") == "1" || environment("OMPI_MCA_orte_enable_recovery") == "1";
  world.join = environment("LOCKSTEP_JOIN") == "1";
  for (const Names& names : kLaunchers) {
    if (environment(names.rank).empty() || environment(names.size).empty()) continue;
    world.launcher = names.launcher;
    ASSIGN_OR_RETURN(world.rank, ReadInt(environment, names.rank));
    ASSIGN_OR_RETURN(world.size, ReadInt(environment, names.size));
    if (!environment(names.local_rank).empty()) {
      ASSIGN_OR_RETURN(world.local_rank, ReadInt(environment, names.local_rank));
    }
    if (world.rank < world.size) return world;
    return ConfigError(absl::StrCat("the environment says rank ", world.rank, " of ", world.size, " (",
                                    names.rank, ", ", names.size, "), which cannot be"));
  }
  for (const char* hint : kHints) {
    if (environment(hint).empty()) continue;
    world.warning =
        absl::StrCat("a launcher of parallel programs started this (", hint,
                     " is set), but says neither rank nor size in a way known here: this is a world of one. "
                     "If several were started, each is one: use Open MPI's mpirun, srun or `lockstep "
                     "launch`, or set LOCKSTEP_RANK, LOCKSTEP_SIZE and LOCKSTEP_JOB");
    break;
  }
  return world;
}

absl::StatusOr<World> WorldFromEnvironment() {
  return WorldFromEnvironment([](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  });
}

}  // namespace lockstep::comm
