#include "comm/tcp/link.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lockstep::comm {
namespace {

// The part of [data, data + size) past `moved` bytes, of which `moved` is then lowered by the part's start.
iovec Rest(void* data, size_t size_bytes, size_t& moved) {
  const size_t skip = std::min(moved, size_bytes);
  moved -= skip;
  return {static_cast<std::byte*>(data) + skip, size_bytes - skip};
}

}  // namespace

void TcpLink::StartSend(const FrameHeader& header, const void* payload) {
  out_ = Frame{header, {0, 0}, 0};
  out_payload_ = static_cast<const std::byte*>(payload);
  sending_ = true;
}

absl::StatusOr<bool> TcpLink::AdvanceSend() {
  bool moved_any = false;
  const size_t total = sizeof(FrameHeader) + out_.header.payload_bytes + sizeof(FrameTrailer);
  while (sending_) {
    size_t skip = out_.moved_bytes;
    iovec parts[3];
    parts[0] = Rest(&out_.header, sizeof(FrameHeader), skip);
    parts[1] = Rest(const_cast<std::byte*>(out_payload_), out_.header.payload_bytes, skip);
    parts[2] = Rest(&out_.trailer, sizeof(FrameTrailer), skip);
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 3;
    const ssize_t sent = sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) return moved_any;
      if (errno == EPIPE || errno == ECONNRESET) {
        broken_ = true;  // what this was is decided by the receiving side
        return moved_any;
      }
      return PeerError(ErrnoText(absl::StrCat("sending to rank ", peer_), errno));
    }
    moved_any = true;
    out_.moved_bytes += sent;
    if (out_.moved_bytes == total) sending_ = false;
  }
  return moved_any;
}

absl::Status TcpLink::Ended() {
  closed_ = true;
  if (peer_failing_) return PeerError(absl::StrCat("rank ", peer_, " failed, and ended before it said why"));
  return PeerError(absl::StrCat("rank ", peer_, " died (its connection ended)"));
}

absl::Status TcpLink::Failure() const {
  FailureNote note;
  std::memcpy(&note, note_.data(), sizeof note);
  return StatusOfTrouble(note.trouble, note.code,
                         absl::StrCat("rank ", peer_, " reports: ", note_.substr(sizeof note)));
}

absl::Status TcpLink::AcceptHeader() {
  have_header_ = true;
  const absl::Status sound = CheckHeader(in_.header, generation_);
  if (!sound.ok()) return Annotate(sound, absl::StrCat("rank ", peer_));
  if (in_.header.kind == FrameKind::kGoodbye) left_ = true;
  if (in_.header.kind == FrameKind::kFailure) note_.resize(in_.header.payload_bytes);
  return absl::OkStatus();
}

absl::StatusOr<bool> TcpLink::AdvanceRecv(const Incoming* wanted, bool& done) {
  done = false;
  bool moved_any = false;
  while (!closed_) {
    const bool message = have_header_ && in_.header.kind == FrameKind::kMessage;
    if (message && wanted == nullptr) {
      if (broken_) return Ended();
      return moved_any;
    }
    if (message && in_.moved_bytes == sizeof(FrameHeader) &&
        (!(in_.header.descriptor == wanted->descriptor) || in_.header.payload_bytes != wanted->size_bytes)) {
      return MismatchError(rank_, wanted->descriptor, peer_, in_.header.descriptor);
    }
    size_t skip = in_.moved_bytes;
    iovec parts[3];
    parts[0] = Rest(&in_.header, sizeof(FrameHeader), skip);
    // Until the header is known nothing else is read, since what follows may be another frame.
    const size_t payload = have_header_ ? in_.header.payload_bytes : 0;
    parts[1] = Rest(message ? wanted->data : note_.data(), payload, skip);
    parts[2] = Rest(&in_.trailer, have_header_ ? sizeof(FrameTrailer) : 0, skip);
    msghdr header{};
    header.msg_iov = parts;
    header.msg_iovlen = 3;
    const ssize_t got = recvmsg(fd_.get(), &header, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return moved_any;
    if (got <= 0) {
      if (!left_ || in_.moved_bytes > 0) return Ended();
      closed_ = true;
      break;
    }
    moved_any = true;
    in_.moved_bytes += got;
    if (!have_header_) {
      if (in_.moved_bytes == sizeof(FrameHeader)) RETURN_IF_ERROR(AcceptHeader());
      continue;
    }
    if (in_.moved_bytes < sizeof(FrameHeader) + payload + sizeof(FrameTrailer)) continue;
    have_header_ = false;
    in_.moved_bytes = 0;
    if (in_.header.kind == FrameKind::kFailure) return Failure();
    if (in_.trailer.aborted != 0) peer_failing_ = true;
    if (message && in_.trailer.aborted == 0) {
      done = true;
      return true;
    }
  }
  if (wanted != nullptr) {
    return PeerError(absl::StrCat("rank ", peer_, " closed its communicator, but is still awaited"));
  }
  return moved_any;
}

}  // namespace lockstep::comm
