// One authenticated connection: sends and receives frames without ever waiting. Whoever owns it polls.
#ifndef LOCKSTEP_COMM_TCP_LINK_H_
#define LOCKSTEP_COMM_TCP_LINK_H_

#include <cstdint>
#include <string>

#include "comm/fd.h"
#include "comm/p2p/transport.h"
#include "comm/tcp/frame.h"

namespace lockstep::comm {

// Not thread-safe.
class TcpLink {
 public:
  TcpLink(Fd fd, int rank, int peer, uint64_t generation)
      : fd_(std::move(fd)), rank_(rank), peer_(peer), generation_(generation) {}

  int fd() const { return fd_.get(); }
  int peer() const { return peer_; }

  // Puts a frame into the making; the one before must be sent. The payload must stay until sending() is
  // false.
  void StartSend(const FrameHeader& header, const void* payload);
  bool sending() const { return sending_; }
  // Sends what the socket takes now. True when something went out. Error: PeerError (the peer is gone).
  absl::StatusOr<bool> AdvanceSend();
  // Marks the frame in the making as void, if it is not complete yet.
  void VoidSend() { out_.trailer.aborted = 1; }

  // Receives what there is. `wanted` is the message to receive next, or null when none is expected, in which
  // case at most a header is read, which is how failures, goodbyes and deaths are heard. Sets `done` when
  // `wanted` is complete. True when something came. Errors name the peer: death, reported failure, mismatch.
  absl::StatusOr<bool> AdvanceRecv(const Incoming* wanted, bool& done);
  // A message has begun to arrive that nobody wants yet: there is no use in polling for input.
  bool holding() const { return have_header_ && in_.header.kind == FrameKind::kMessage; }
  // The peer said goodbye and hung up: nothing to poll.
  bool closed() const { return closed_; }

 private:
  absl::Status AcceptHeader();
  absl::Status Failure() const;
  absl::Status Ended();

  Fd fd_;
  const int rank_, peer_;
  const uint64_t generation_;

  struct Frame {
    FrameHeader header;
    FrameTrailer trailer;
    size_t moved_bytes = 0;  // of header, payload and trailer
  };
  Frame out_;
  const std::byte* out_payload_ = nullptr;
  bool sending_ = false;

  Frame in_;
  bool have_header_ = false;
  bool peer_failing_ = false;  // a void frame came: the reason follows
  bool left_ = false, closed_ = false;
  bool broken_ = false;  // nothing more can be sent; the peer's last words may still be to be read
  std::string note_;     // payload of a failure frame
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_LINK_H_
