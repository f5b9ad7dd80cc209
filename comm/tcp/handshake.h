// How the two ends of a new connection prove to each other that they belong to the same job: a mutual
// challenge-response over HMAC-SHA256 with the meeting's secret. Authenticated, not encrypted.
//
//   caller -> listener   Hello       64 bytes: magic, version, who calls whom, generation, 32 random bytes
//   listener -> caller   Reply       64 bytes: 32 random bytes, HMAC(secret, "listener" Hello random)
//   caller -> listener   Proof       32 bytes: HMAC(secret, "caller" Hello random)
//   listener -> caller   Accepted     4 bytes
//
// Every message has a fixed size and every wait a deadline, so that strangers can neither fill memory nor
// hold a seat.
#ifndef LOCKSTEP_COMM_TCP_HANDSHAKE_H_
#define LOCKSTEP_COMM_TCP_HANDSHAKE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "comm/fd.h"
#include "runtime/core/clock.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

struct HandshakeIdentity {
  int rank = 0;  // the own
  uint64_t generation = 0;
  std::string secret;
};

// The caller's side on a connected, non-blocking socket, until `deadline`; `interrupt_fd` becoming readable
// ends it.
absl::Status CallPeer(int fd, const HandshakeIdentity& self, int peer, Deadline deadline, int interrupt_fd);

// The listener's side as a state machine, fed by whoever polls the (non-blocking) socket. Not thread-safe.
class ListenerHandshake {
 public:
  ListenerHandshake(Fd fd, const HandshakeIdentity* self, int size)
      : fd_(std::move(fd)), self_(self), size_(size) {}

  int fd() const { return fd_.get(); }
  enum class Outcome { kGoesOn, kDone, kRejected };
  // Reads and answers as far as it can without waiting.
  Outcome Advance();
  int peer() const { return peer_; }  // once kDone
  Fd TakeFd() { return std::move(fd_); }

 private:
  bool Reply();

  Fd fd_;
  const HandshakeIdentity* self_;
  int size_;
  int peer_ = -1;
  bool replied_ = false;
  std::string received_;  // at most one Hello, then one Proof
  std::string transcript_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_HANDSHAKE_H_
