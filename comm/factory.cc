#include "comm/factory.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "comm/calibrate.h"
#include "comm/engine.h"
#include "comm/hier/make_hier.h"
#include "comm/mpi/mpi_engine.h"
#include "comm/shm/shm_engine.h"
#include "comm/tcp/tcp_engine.h"
#include "comm/text_list.h"
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

// "net:[4026531840]": processes with another one reach each other over a network only, and not by the Unix
// sockets that hand shared memory over.
std::string NetworkNamespace() {
  char text[64];
  const ssize_t length = readlink("/proc/self/ns/net", text, sizeof text);
  return length > 0 ? std::string(text, length) : "";
}

absl::Status CheckNames(const CommunicatorOptions& options) {
  const auto names = BackendNames();
  if (std::find(names.begin(), names.end(), options.backend) == names.end()) {
    return ConfigError(absl::StrCat("there is no communication backend '", options.backend,
                                    "'; known: ", absl::StrJoin(names, ", ")));
  }
  const auto between = BetweenNames();
  if (std::find(between.begin(), between.end(), options.between) == between.end()) {
    return ConfigError(absl::StrCat("nothing called '", options.between,
                                    "' goes between machines; known: ", absl::StrJoin(between, ", ")));
  }
  if (options.between != "tcp" && options.backend != "hier" && options.backend != "auto") {
    return ConfigError(absl::StrCat(
        "'", options.between, "' between machines is for the backends hier and auto, not ", options.backend));
  }
  if (!options.cost_model.empty()) RETURN_IF_ERROR(CostModelFromText(options.cost_model).status());
  return AlgorithmFromName(options.algorithm).status();
}

// "hier", "hier over mpi": what all ranks must want alike.
std::string WishOf(const CommunicatorOptions& options) {
  return options.between == "tcp" ? options.backend
                                  : absl::StrCat(options.backend, " over ", options.between);
}

// Where the ranks are.
struct Places {
  std::vector<std::string> machines;  // of each rank: ranks with equal ones may share memory
  bool one_kernel = true;             // as far as can be seen
  bool loopback = true;               // all reach each other without leaving the machine
  bool one_machine() const {
    return std::all_of(machines.begin(), machines.end(),
                       [&](const std::string& machine) { return machine == machines[0]; });
  }
  bool some_together() const {
    const std::set<std::string> names(machines.begin(), machines.end());
    return names.size() < machines.size();
  }
};

// Also checks that all ranks want the same backend.
absl::StatusOr<Places> FindPlaces(Meeting& meeting, const CommunicatorOptions& options, Deadline deadline) {
  const std::string boot = BootId();
  ASSIGN_OR_RETURN(const auto all, meeting.Exchange(absl::StrCat("world/", options.generation),
                                                    PackTexts({WishOf(options), boot, NetworkNamespace(),
                                                               options.machine, options.cost_model}),
                                                    deadline));
  Places places;
  std::vector<std::string> first;
  for (int rank = 0; rank < meeting.size(); ++rank) {
    std::vector<std::string> theirs;
    if (!UnpackTexts(all[rank], theirs) || theirs.size() != 5) {
      return PeerError(
          absl::StrCat("rank ", rank, " says who it is in a way unknown here; is it of this version?"));
    }
    if (theirs[0] != WishOf(options)) {
      return ConfigError(absl::StrCat("the ranks differ in their communication backend: rank ",
                                      meeting.rank(), " wants '", WishOf(options), "', rank ", rank, " '",
                                      theirs[0], "'"));
    }
    // Each would choose its own algorithms by it.
    if (theirs[4] != options.cost_model) {
      return ConfigError(absl::StrCat("the ranks differ in their cost model: rank ", meeting.rank(), " has '",
                                      options.cost_model, "', rank ", rank, " '", theirs[4], "'"));
    }
    if (rank == 0) first = theirs;
    places.one_kernel = places.one_kernel && !boot.empty() && theirs[1] == first[1];
    places.loopback = places.one_kernel && places.loopback && theirs[2] == first[2];
    // Who cannot say where it is shares memory with nobody.
    const std::string unknown = theirs[1].empty() ? absl::StrCat(" ", rank) : "";
    places.machines.push_back(absl::StrCat(theirs[1], " ", theirs[2], " ", theirs[3], unknown));
  }
  return places;
}

MpiOptions MpiOptionsOf(const CommunicatorOptions& options) {
  MpiOptions mpi;
  mpi.generation = options.generation;
  mpi.exit_patience = options.deadline;
  return mpi;
}

TcpOptions TcpOptionsOf(const CommunicatorOptions& options, const Places& places) {
  TcpOptions tcp;
  tcp.generation = options.generation;
  tcp.loopback = places.loopback;
  tcp.interface = options.interface;
  tcp.payload_crc = options.payload_crc.value_or(!places.loopback);
  tcp.pacing_bytes_per_second = options.pacing_bytes_per_second;
  return tcp;
}

absl::StatusOr<std::unique_ptr<Engine>> MakeEngine(Meeting& meeting, const CommunicatorOptions& options) {
  const Deadline deadline = Deadline::After(options.connect_deadline);
  ASSIGN_OR_RETURN(const Places places, FindPlaces(meeting, options, deadline));
  if (options.backend == "mpi") return MakeMpiEngine(meeting, MpiOptionsOf(options), deadline);
  if (options.backend == "shm" && !places.one_machine()) {
    return ConfigError(
        "backend shm needs all ranks on one machine, in one network namespace, which they are not; use hier "
        "or auto");
  }
  const bool automatic = options.backend == "auto";
  if (options.backend == "shm" || (automatic && places.one_machine())) {
    auto engine = MakeShmEngine(meeting, options.generation, deadline);
    if (engine.ok() || options.backend == "shm") return engine;
    if (options.log != nullptr) {
      options.log->Warning(
          absl::StrCat("no shared memory between the ranks (", engine.status().message(),
                       "); using tcp, which is several times slower. Containers: share one IPC and "
                       "network namespace (--ipc=host --network=host)"));
    }
  }
  if (automatic && places.one_kernel && !places.loopback && options.log != nullptr && meeting.rank() == 0) {
    options.log->Warning(absl::StrCat(
        "the ranks are under one kernel, but in several network namespaces: between these they use ",
        options.between,
        ", which is several times slower than shared memory. Containers: share one IPC and network namespace "
        "(--ipc=host --network=host)"));
  }
  const TcpOptions tcp = TcpOptionsOf(options, places);
  const bool over_mpi = options.between == "mpi";
  const bool several = !places.one_machine() && (places.some_together() || over_mpi);
  if (options.backend == "hier" || (automatic && several)) {
    const HierOptions hier{options.generation, over_mpi, tcp, MpiOptionsOf(options), options.log};
    return MakeHierEngine(meeting, places.machines, hier, deadline);
  }
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

std::vector<std::string> BackendNames() { return {"auto", "shm", "tcp", "hier", "mpi"}; }
std::vector<std::string> BetweenNames() { return {"tcp", "mpi"}; }

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
  const absl::Status chosen = ChooseCostModel(**engine, options);
  if (!chosen.ok()) {
    (*engine)->ReportFailure(chosen);
    return Annotate(chosen, absl::StrCat("measuring the connections of ", meeting.size(), " ranks (rank ",
                                         meeting.rank(), ")"));
  }
  return MakeFront(*std::move(engine), front);
}

}  // namespace lockstep::comm
