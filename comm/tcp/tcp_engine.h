// The communicator over TCP: the collectives of comm/p2p on a mesh of authenticated connections.
#ifndef LOCKSTEP_COMM_TCP_TCP_ENGINE_H_
#define LOCKSTEP_COMM_TCP_TCP_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "comm/engine.h"
#include "comm/store.h"
#include "runtime/core/clock.h"

namespace lockstep::comm {

struct TcpOptions {
  uint64_t generation = 0;
  bool loopback = true;      // all ranks share this machine: listen where nobody else can call
  std::string interface;     // else: the network interface to listen on; "": that of the default route
  bool payload_crc = false;  // frames carry a CRC-32C of their payload
};

// Collective over the meeting; fails or succeeds on all ranks. Connections are made when two ranks first
// exchange something.
absl::StatusOr<std::unique_ptr<Engine>> MakeTcpEngine(Meeting& meeting, const TcpOptions& options,
                                                      Deadline deadline);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_TCP_ENGINE_H_
