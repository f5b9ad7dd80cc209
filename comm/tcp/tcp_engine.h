// The communicator over TCP: the collectives of comm/p2p on a mesh of authenticated connections.
#ifndef LOCKSTEP_COMM_TCP_TCP_ENGINE_H_
#define LOCKSTEP_COMM_TCP_TCP_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "comm/engine.h"
#include "comm/p2p/transport.h"
#include "comm/store.h"
#include "runtime/core/clock.h"

namespace lockstep::comm {

struct TcpOptions {
  uint64_t generation = 0;
  bool loopback = true;      // all ranks share this machine: listen where nobody else can call
  std::string interface;     // else: the network interface to listen on; "": that of the default route
  bool payload_crc = false;  // frames carry a CRC-32C of their payload
  uint64_t pacing_bytes_per_second = 0;  // of each connection's sends, for tests of slow links; 0: as it goes
};

// Collective over the meeting; fails or succeeds on all ranks. Connections are made when two ranks first
// exchange something.
absl::StatusOr<std::unique_ptr<Engine>> MakeTcpEngine(Meeting& meeting, const TcpOptions& options,
                                                      Deadline deadline);

// The connections alone, for who runs collectives over some of them. Collective in the same way.
struct TcpMesh {
  std::unique_ptr<Mesh> mesh;
  std::string where;  // for people: "listening on 10.0.0.1"
};
absl::StatusOr<TcpMesh> MakeTcpMesh(Meeting& meeting, const TcpOptions& options, Deadline deadline);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_TCP_ENGINE_H_
