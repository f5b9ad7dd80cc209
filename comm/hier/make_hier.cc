#include "comm/hier/make_hier.h"

#include <utility>

#include "absl/strings/str_join.h"
#include "comm/hier/group_rounds.h"
#include "comm/hier/hier_engine.h"
#include "comm/shm/shm_engine.h"

namespace lockstep::comm {
namespace {

// Shared memory between the ranks of this machine; null where it has one rank, or cannot be had.
absl::StatusOr<std::unique_ptr<Engine>> TryInside(Meeting& meeting, const Layout& layout,
                                                  const HierOptions& options, Deadline deadline) {
  const std::vector<int>& ranks = layout.mine();
  GroupRounds group(meeting, ranks, absl::StrCat("hier/", options.generation));
  absl::StatusOr<std::unique_ptr<Engine>> inside(nullptr);
  if (ranks.size() > 1) inside = MakeShmEngine(group, options.generation, deadline, ranks);
  RETURN_IF_ERROR(group.Finish(deadline));
  if (inside.ok()) return inside;
  if (options.log != nullptr && layout.local == 0) {
    options.log->Warning(absl::StrCat(
        "no shared memory between the ranks ", absl::StrJoin(ranks, ", "), " of one machine (",
        inside.status().message(), "); they use ", options.over_mpi ? "MPI's messages" : "tcp",
        ", which is several times slower. Containers: share one IPC and network namespace (--ipc=host "
        "--network=host)"));
  }
  return nullptr;
}

absl::StatusOr<std::unique_ptr<Engine>> MakeFlat(Meeting& meeting, const HierOptions& options,
                                                 Deadline deadline) {
  if (options.over_mpi) return MakeMpiEngine(meeting, options.mpi, deadline);
  return MakeTcpEngine(meeting, options.tcp, deadline);
}

absl::StatusOr<std::unique_ptr<Mesh>> MakeMesh(Meeting& meeting, const HierOptions& options,
                                               Deadline deadline) {
  if (options.over_mpi) return MakeMpiMesh(meeting, options.mpi, deadline);
  ASSIGN_OR_RETURN(TcpMesh made, MakeTcpMesh(meeting, options.tcp, deadline));
  return std::move(made.mesh);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> MakeHierEngine(Meeting& meeting,
                                                       std::vector<std::string> machine_of_rank,
                                                       const HierOptions& options, Deadline deadline) {
  Layout layout = LayoutOf(machine_of_rank, meeting.rank());
  ASSIGN_OR_RETURN(auto inside, TryInside(meeting, layout, options, deadline));
  const bool shares = inside != nullptr || layout.mine().size() == 1;
  ASSIGN_OR_RETURN(const auto all_share,
                   meeting.Exchange(absl::StrCat("hier/", options.generation, "/shares"),
                                    shares ? "yes" : "no", deadline));
  for (int rank = 0; rank < meeting.size(); ++rank) {
    // The whole machine's word: a rank that alone has its memory is not left waiting for the others.
    for (const int other : layout.machines[layout.MachineOf(rank)]) {
      if (all_share[other] != "yes") machine_of_rank[rank] = absl::StrCat("rank ", rank);
    }
  }
  layout = LayoutOf(machine_of_rank, meeting.rank());
  if (layout.mine().size() == 1) inside = nullptr;
  if (layout.machine_count() == 1) return inside;
  if (layout.machine_count() == meeting.size()) return MakeFlat(meeting, options, deadline);
  ASSIGN_OR_RETURN(auto mesh, MakeMesh(meeting, options, deadline));
  return std::unique_ptr<Engine>(
      std::make_unique<HierEngine>(std::move(layout), meeting.rank(), meeting.size(), std::move(inside),
                                   std::move(mesh), options.over_mpi ? "MPI" : "tcp"));
}

}  // namespace lockstep::comm
