// Moving bytes between two ranks: the one thing that a network backend must do. Everything else about
// collectives over a network is comm/p2p/collectives.h, on top of this.
#ifndef LOCKSTEP_COMM_P2P_TRANSPORT_H_
#define LOCKSTEP_COMM_P2P_TRANSPORT_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/call.h"

namespace lockstep::comm {

// A message to or from another rank. Its descriptor travels with it and must equal the receiver's
// expectation, so that ranks that called different things find out.
struct Outgoing {
  int to = 0;
  const void* data = nullptr;
  size_t size_bytes = 0;
  CallDescriptor descriptor;
};
struct Incoming {
  int from = 0;
  void* data = nullptr;
  size_t size_bytes = 0;
  CallDescriptor descriptor;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Carries out all of it at once, in any order between peers and in the given order with each. Returns when
  // all is received, and all that was sent may be overwritten. Never to or from the own rank. Empty messages
  // are messages. `phase` names the step in errors.
  virtual absl::Status Exchange(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                                const char* phase) = 0;
};

struct RunContext;

// A transport that owns its connections, as an engine needs it.
class Mesh : public Transport {
 public:
  // Exchanges that follow belong to the call of `context`, which outlives them.
  virtual void Enter(RunContext& context) = 0;
  // As of Engine (comm/engine.h).
  virtual void NoteProgress() = 0;
  virtual void Interrupt(const absl::Status& reason) = 0;
  virtual void ReportFailure(const absl::Status& reason) = 0;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_P2P_TRANSPORT_H_
