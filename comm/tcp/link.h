// One authenticated connection: sends and receives frames without ever waiting. Whoever owns it polls.
#ifndef LOCKSTEP_COMM_TCP_LINK_H_
#define LOCKSTEP_COMM_TCP_LINK_H_

#include <sys/uio.h>

#include <cstdint>
#include <string>

#include "comm/fd.h"
#include "comm/p2p/transport.h"
#include "comm/tcp/frame.h"

namespace lockstep::comm {

// Not thread-safe.
class TcpLink {
 public:
  // With `crc`, the frames that it sends carry a CRC-32C of their payload. Received ones say themselves.
  TcpLink(Fd fd, int rank, int peer, uint64_t generation, bool crc = false)
      : fd_(std::move(fd)), rank_(rank), peer_(peer), generation_(generation), crc_(crc) {}

  int fd() const { return fd_.get(); }
  int peer() const { return peer_; }

  // Puts a frame into the making; the one before must be sent. The payload must stay until sending() is
  // false.
  void StartSend(FrameKind kind, const CallDescriptor& descriptor, const void* payload, size_t size_bytes);
  bool sending() const { return sending_; }
  // Puts a pulse before the next frame. Nothing, while a frame or the last pulse is in the making.
  void StartPulse(const Pulse& pulse);
  // Sends what the socket takes now. True when something went out. Error: PeerError (the peer is gone).
  absl::StatusOr<bool> AdvanceSend();
  // Marks the frame in the making as void, if it is not complete yet.
  void VoidSend();

  // Receives what there is. `wanted` is the message to receive next, or null when none is expected, in which
  // case at most a header is read, which is how pulses, failures, goodbyes and deaths are heard. Sets `done`
  // when `wanted` is complete and, where it carries a CRC, undamaged. True when something came. Errors name
  // the peer: death, reported failure, mismatch, damage.
  absl::StatusOr<bool> AdvanceRecv(const Incoming* wanted, bool& done);
  // A message has begun to arrive that nobody wants yet: there is no use in polling for input.
  bool holding() const { return have_header_ && in_.header.kind == FrameKind::kMessage; }
  // The peer said goodbye and hung up: nothing to poll.
  bool closed() const { return closed_; }
  // Since when the peer's machine has acknowledged nothing, although there is something to acknowledge, and
  // although it was sent again; zero when all is well. A process that is stopped does not show here: its
  // kernel goes on.
  absl::Duration Unanswered() const;

  // When the peer last got on with its work, and when anyone did that it knows of, on the clock of this
  // machine; 0: never.
  int64_t noted() const { return noted_; }
  int64_t newest() const { return newest_; }
  // Whom the peer said it waits for, and when it said so; -1: nobody. A rank only once its range is checked.
  int64_t awaits() const { return awaits_; }
  int64_t awaits_told() const { return awaits_told_; }

 private:
  // One call of the system. False when the socket takes nothing now, or never will.
  absl::StatusOr<bool> SendOnce(iovec* parts, size_t count, size_t& sent_bytes);
  absl::Status AcceptHeader();
  // The frame is complete. Error: what it reports, or that it is damaged.
  absl::Status AcceptFrame();
  void AcceptPulse();
  absl::Status Failure() const;
  absl::Status Ended();
  absl::Status Damage() const;

  Fd fd_;
  const int rank_, peer_;
  const uint64_t generation_;
  const bool crc_;

  struct Frame {
    FrameHeader header;
    FrameTrailer trailer;
    size_t moved_bytes = 0;  // of header, payload and trailer
    size_t crc_bytes = 0;    // of the payload that `crc` covers
    uint32_t crc = 0;
  };
  Frame out_;
  const std::byte* out_payload_ = nullptr;
  bool sending_ = false;

  struct PulseFrame {
    FrameHeader header;
    Pulse pulse;
    FrameTrailer trailer;
  };
  static_assert(sizeof(PulseFrame) == sizeof(FrameHeader) + sizeof(Pulse) + sizeof(FrameTrailer));
  PulseFrame pulse_;
  size_t pulse_left_ = 0;  // bytes of it to send

  Frame in_;
  bool have_header_ = false;
  bool peer_failing_ = false;  // a void frame came: the reason follows
  bool left_ = false, closed_ = false;
  bool broken_ = false;  // nothing more can be sent; the peer's last words may still be to be read
  std::string note_;     // payload of a failure or a pulse
  int64_t noted_ = 0, newest_ = 0;
  int64_t awaits_ = -1, awaits_told_ = 0;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_LINK_H_
