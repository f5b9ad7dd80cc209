// How ranks find themselves and each other, from nothing but what the launcher provides. Never calls
// MPI_Init, which would open listeners of its own on all interfaces.
//
//   World world = WorldFromEnvironment();                                  // who am I
//   ASSIGN_OR_RETURN(auto meeting, Meet(world, {.folder = out}));           // where do we meet
//   ASSIGN_OR_RETURN(auto comm, MakeCommunicator(*meeting, {}));            // comm/factory.h
//   RETURN_IF_ERROR(CheckAgreement(*comm, {{"config", hash}, {"build", id}}));
#ifndef LOCKSTEP_COMM_BOOTSTRAP_H_
#define LOCKSTEP_COMM_BOOTSTRAP_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "comm/communicator.h"
#include "comm/store.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

// Who this process is. Read from, in this order: `lockstep launch` (LOCKSTEP_RANK, LOCKSTEP_SIZE,
// LOCKSTEP_LOCAL_RANK, LOCKSTEP_MEETING, LOCKSTEP_JOB), Open MPI (OMPI_COMM_WORLD_RANK/SIZE/LOCAL_RANK),
// Slurm steps (SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID), MPICH and other PMI launchers (PMI_RANK,
// PMI_SIZE). Without any of these a process is a world of one.
struct World {
  int rank = 0;
  int size = 1;
  int local_rank = 0;  // among the ranks of this machine, as the launcher counts; 0 when it does not say
  std::string launcher = "none";  // "lockstep", "openmpi", "slurm", "pmi", "none"
  std::string job;                // names this start of this job, the same on all ranks; may be empty
  std::string
      meeting_place;  // LOCKSTEP_MEETING: "fd:N" (an inherited file) or the path of a file; may be empty
  bool elastic =
      false;          // the launcher leaves the others running when a rank ends: `lockstep launch --elastic`
                      // (LOCKSTEP_ELASTIC=1), `mpirun --enable-recovery` (OMPI_MCA_orte_enable_recovery=1)
  bool join = false;  // LOCKSTEP_JOIN=1: not one of the first ranks, but a newcomer to a run that goes on
  bool pmix = false;  // a PMIx server is offered (PMIX_NAMESPACE is set)
  std::string warning;  // not empty when this looks like one of several worlds of one: log it
};

// Looks a variable up; empty result for unset. Injected so that tests need no environment.
using Environment = std::function<std::string(const char* name)>;
absl::StatusOr<World> WorldFromEnvironment(const Environment& environment);
absl::StatusOr<World> WorldFromEnvironment();  // of this process

struct MeetOptions {
  std::string folder;  // shared by all ranks (the run's --out); used when there is no other meeting place
  absl::Duration deadline = absl::Seconds(60);
};

// Brings the ranks together at: LOCKSTEP_MEETING; else PMIx where the launcher offers it; else a 0600 file in
// `folder`. All ranks call it. Error: DeadlineError that lists the missing ranks, ConfigError when there is
// no place.
absl::StatusOr<std::unique_ptr<Meeting>> Meet(const World& world, const MeetOptions& options);

// For `lockstep launch`: an anonymous file with a fresh secret that children inherit. Set LOCKSTEP_MEETING to
// "fd:<result>" in their environment. The descriptor is not close-on-exec; nothing is left when all have
// ended.
absl::StatusOr<int> MakeInheritedMeetingPlace();

// Compares what every rank must have in common. Field names must agree too. Error (on every rank):
// ConfigError naming the first field that differs, its values and the ranks that hold them.
struct AgreementField {
  std::string field;
  std::string value;
};
absl::Status CheckAgreement(Communicator& communicator, absl::Span<const AgreementField> fields);

// Every rank's text on every rank, in rank order: a collective, for errors, hashes and host names (not for
// bulk).
absl::StatusOr<std::vector<std::string>> AllGatherText(Communicator& communicator, absl::string_view text);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_BOOTSTRAP_H_
