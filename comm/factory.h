// Makes communicators by name; the only place that knows which backends there are.
#ifndef LOCKSTEP_COMM_FACTORY_H_
#define LOCKSTEP_COMM_FACTORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "comm/communicator.h"
#include "comm/store.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

struct CommunicatorOptions {
  // One of BackendNames(). auto: shm when all ranks share a machine, hier when some do, else `between`.
  std::string backend = "auto";
  // What hier (and auto, where it takes hier) uses between machines: one of BetweenNames(). The same on all
  // ranks.
  std::string between = "tcp";
  std::string algorithm = "auto";                       // the default of CallOptions::algorithm
  absl::Duration deadline = absl::Minutes(5);           // of a call that names none
  absl::Duration connect_deadline = absl::Seconds(60);  // to bring all ranks together
  uint64_t generation = 0;  // carried by every message; a later generation never hears an earlier one
  // tcp between machines: the network interface to listen on, as ListenAddress takes it ("eth0,ib0",
  // "^docker0", "10.0.0.0/8"); "": the default route's.
  std::string interface;
  // A CRC-32C of every frame's payload over tcp; unset: between machines, not on loopback. The same on all
  // ranks.
  std::optional<bool> payload_crc;
  // CostModelText of an earlier run, the same on all ranks; "": measured at the start, in some milliseconds.
  std::string cost_model;
  // For tests, equal or not on the ranks. Ranks that name different machines count as apart, wherever they
  // are; "": as found. And the pace of each tcp connection's sends, for links slower than this machine's;
  // 0: as it goes.
  std::string machine;
  uint64_t pacing_bytes_per_second = 0;
  // Where a rank writes its last calls when the communicator fails (comm/dump.h); "": nowhere.
  std::string dump_folder;
  std::string dump_group;        // tells the files of split communicators apart; set by Split
  std::optional<int> dump_rank;  // the rank in the file's name; unset: the own one. Set by Split
  // Fallbacks and dumps are named here; may be null. Borrowed for the communicator's life, and for those that
  // are split from it.
  Logger* log = nullptr;
};

// "auto", "shm", "tcp", "hier", "mpi".
std::vector<std::string> BackendNames();
// "tcp", "mpi".
std::vector<std::string> BetweenNames();

// Collective over the meeting's ranks. A world of one gets the backend "self" whatever was asked for. Errors:
// ConfigError for unknown names (listing the known ones) or a backend that cannot work here (saying why), on
// every rank; DeadlineError naming the ranks that did not come.
absl::StatusOr<std::unique_ptr<Communicator>> MakeCommunicator(Meeting& meeting,
                                                               const CommunicatorOptions& options);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_FACTORY_H_
