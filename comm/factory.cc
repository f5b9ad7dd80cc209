#include "comm/factory.h"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "comm/calibrate.h"
#include "comm/engine.h"
#include "comm/mpi/mpi_engine.h"
#include "comm/shm/shm_engine.h"
#include "comm/tcp/tcp_engine.h"
#include "runtime/core/file_system.h"
#include "runtime/core/hash.h"

namespace lockstep::comm {
namespace {

// The same for processes under one kernel, whatever their containers; another after a reboot.
std::string BootId() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

absl::Status CheckNames(const CommunicatorOptions& options) {
  const auto names = BackendNames();
  if (std::find(names.begin(), names.end(), options.backend) == names.end()) {
    return ConfigError(absl::StrCat("there is no communication backend '", options.backend,
                                    "'; known: ", absl::StrJoin(names, ", ")));
  }
  return AlgorithmFromName(options.algorithm).status();
}

// Who the ranks are: whether they want the same backend, and whether they share a machine.
absl::StatusOr<bool> ShareMachine(Meeting& meeting, const CommunicatorOptions& options, Deadline deadline) {
  const std::string machine = BootId();
  ASSIGN_OR_RETURN(const auto all, meeting.Exchange(absl::StrCat("world/", options.generation),
                                                    absl::StrCat(options.backend, "\n", machine), deadline));
  bool local = !machine.empty();
  for (int rank = 0; rank < meeting.size(); ++rank) {
    const size_t cut = all[rank].find('\n');
    const std::string backend = all[rank].substr(0, cut);
    if (backend != options.backend) {
      return ConfigError(absl::StrCat("the ranks differ in their communication backend: rank ",
                                      meeting.rank(), " wants '", options.backend, "', rank ", rank, " '",
                                      backend, "'"));
    }
    local = local && cut != std::string::npos && all[rank].substr(cut + 1) == machine;
  }
  return local;
}

absl::StatusOr<std::unique_ptr<Engine>> MakeEngine(Meeting& meeting, const CommunicatorOptions& options) {
  const Deadline deadline = Deadline::After(options.connect_deadline);
  ASSIGN_OR_RETURN(const bool local, ShareMachine(meeting, options, deadline));
  if (options.backend == "mpi") {
    MpiOptions mpi;
    mpi.generation = options.generation;
    mpi.exit_patience = options.deadline;
    return MakeMpiEngine(meeting, mpi, deadline);
  }
  if (options.backend == "shm" && !local) {
    return ConfigError("backend shm needs all ranks on one machine, which they are not; use tcp or auto");
  }
  if (options.backend == "shm" || (options.backend == "auto" && local)) {
    auto engine = MakeShmEngine(meeting, options.generation, deadline);
    if (engine.ok() || options.backend == "shm") return engine;
    if (options.log != nullptr) {
      options.log->Warning(
          absl::StrCat("no shared memory between the ranks (", engine.status().message(),
                       "); using tcp, which is several times slower. Containers: share one IPC and "
                       "network namespace (--ipc=host --network=host)"));
    }
  }
  TcpOptions tcp;
  tcp.generation = options.generation;
  tcp.loopback = local;
  tcp.interface = options.interface;
  tcp.payload_crc = options.payload_crc.value_or(!local);
  return MakeTcpEngine(meeting, tcp, deadline);
}

// Given, or measured; then the same on all ranks.
absl::Status ChooseCostModel(Engine& engine, const CommunicatorOptions& options) {
  if (!engine.UsesCostModel()) {
    const std::string choices = engine.DescribeChoices();
    if (options.log != nullptr && engine.rank() == 0 && !choices.empty()) options.log->Debug(choices);
    return absl::OkStatus();
  }
  CostModel model;
  if (options.cost_model.empty()) {
    ASSIGN_OR_RETURN(model, Calibrate(engine, options.connect_deadline));
  } else {
    ASSIGN_OR_RETURN(model, CostModelFromText(options.cost_model));
  }
  engine.SetCostModel(model);
  if (options.log != nullptr && engine.rank() == 0) options.log->Debug(DescribeChoices(engine.size(), model));
  return absl::OkStatus();
}

DumpOptions DumpOf(const Meeting& meeting, const CommunicatorOptions& options) {
  DumpOptions dump;
  dump.log = options.log;
  if (options.dump_folder.empty()) return dump;
  dump.path = JoinPath(options.dump_folder, DumpName(options.dump_rank.value_or(meeting.rank()),
                                                     options.generation, options.dump_group));
  // Tells nobody the secret, but tells one start's ranks from another's.
  dump.world = absl::BytesToHexString(
      HmacSha256(meeting.secret(), absl::StrCat("lockstep comm dump ", options.generation)).substr(0, 8));
  return dump;
}

// Dumps of split communicators are named after the rank in the first one and the number of the split, since
// two of them may have ranks of the same number.
Remake RemakeOf(const Meeting& meeting, const CommunicatorOptions& options) {
  CommunicatorOptions child = options;
  child.dump_rank = options.dump_rank.value_or(meeting.rank());
  auto splits = std::make_shared<std::atomic<int>>(0);
  return [child, splits](Meeting& group) {
    CommunicatorOptions numbered = child;
    numbered.dump_group =
        absl::StrCat(child.dump_group, child.dump_group.empty() ? "split-" : ".", ++*splits);
    return MakeCommunicator(group, numbered);
  };
}

}  // namespace

std::vector<std::string> BackendNames() { return {"auto", "shm", "tcp", "mpi"}; }

absl::StatusOr<std::unique_ptr<Communicator>> MakeCommunicator(Meeting& meeting,
                                                               const CommunicatorOptions& options) {
  RETURN_IF_ERROR(CheckNames(options));
  FrontOptions front;
  ASSIGN_OR_RETURN(front.algorithm, AlgorithmFromName(options.algorithm));
  front.deadline = options.deadline;
  front.generation = options.generation;
  front.dump = DumpOf(meeting, options);
  front.remake = RemakeOf(meeting, options);
  if (meeting.size() == 1) return MakeFront(MakeSelfEngine(), front);
  auto engine = MakeEngine(meeting, options);
  if (!engine.ok()) {
    return Annotate(engine.status(),
                    absl::StrCat("bringing ", meeting.size(), " ranks together (rank ", meeting.rank(), ")"));
  }
  RETURN_IF_ERROR(ChooseCostModel(**engine, options));
  return MakeFront(*std::move(engine), front);
}

}  // namespace lockstep::comm
