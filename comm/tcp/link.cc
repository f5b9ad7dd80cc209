#include "comm/tcp/link.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_format.h"
#include "comm/liveness.h"
#include "runtime/core/hash.h"

namespace lockstep::comm {
namespace {

// Of the payload at a time, where a CRC is computed: it is then still in the cache when the kernel copies it.
constexpr size_t kCrcChunkBytes = size_t{256} << 10;

// The part of [data, data + size) past `moved` bytes, of which `moved` is then lowered by the part's start.
iovec Rest(void* data, size_t size_bytes, size_t& moved) {
  const size_t skip = std::min(moved, size_bytes);
  moved -= skip;
  return {static_cast<std::byte*>(data) + skip, size_bytes - skip};
}

size_t PayloadMoved(size_t moved_bytes, size_t payload_bytes) {
  return std::min(moved_bytes - std::min(moved_bytes, sizeof(FrameHeader)), payload_bytes);
}

uint32_t TrailerCrc(uint32_t payload_crc, uint32_t aborted) {
  return Crc32c(payload_crc, &aborted, sizeof aborted);
}

// "10.0.0.1:40123", of the near or the far end.
std::string AddressText(int fd, bool near) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  const int error = near ? getsockname(fd, generic, &length) : getpeername(fd, generic, &length);
  if (error != 0 || getnameinfo(generic, length, host, sizeof host, port, sizeof port,
                                NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "address unknown";
  }
  return absl::StrCat(host, ":", port);
}

}  // namespace

void TcpLink::StartSend(FrameKind kind, const CallDescriptor& descriptor, const void* payload,
                        size_t size_bytes) {
  out_ = Frame{MakeHeader(kind, generation_, descriptor, size_bytes, crc_ ? kFlagCrc : 0), {0, 0}};
  out_payload_ = static_cast<const std::byte*>(payload);
  sending_ = true;
}

void TcpLink::StartPulse(const Pulse& pulse) {
  if (pulse_left_ > 0 || sending_ || left_ || broken_) return;
  pulse_ = {MakeHeader(FrameKind::kPulse, generation_, {}, sizeof pulse, crc_ ? kFlagCrc : 0), pulse, {0, 0}};
  if (crc_) pulse_.trailer.crc = TrailerCrc(Crc32c(0, &pulse, sizeof pulse), 0);
  pulse_left_ = sizeof pulse_;
}

void TcpLink::VoidSend() {
  // With its trailer on the way a message is as good as sent.
  if (out_.moved_bytes <= sizeof(FrameHeader) + out_.header.payload_bytes) out_.trailer.aborted = 1;
}

absl::Duration TcpLink::Unanswered() const {
  tcp_info info{};
  socklen_t length = sizeof info;
  const bool known = getsockopt(fd_.get(), IPPROTO_TCP, TCP_INFO, &info, &length) == 0;
  if (!known || info.tcpi_unacked == 0 || info.tcpi_retransmits == 0) return absl::ZeroDuration();
  return absl::Milliseconds(info.tcpi_last_ack_recv);
}

absl::StatusOr<bool> TcpLink::SendOnce(iovec* parts, size_t count, size_t& sent_bytes) {
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  const ssize_t sent = sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) {
    sent_bytes = sent;
    return true;
  }
  if (errno == EAGAIN || errno == EINTR) return false;
  if (errno == EPIPE || errno == ECONNRESET) {
    broken_ = true;  // what this was is decided by the receiving side
    return false;
  }
  return PeerError(ErrnoText(absl::StrCat("sending to rank ", peer_), errno));
}

absl::StatusOr<bool> TcpLink::AdvanceSend() {
  bool moved_any = false;
  size_t sent = 0;
  while (pulse_left_ > 0) {
    iovec rest{reinterpret_cast<std::byte*>(&pulse_ + 1) - pulse_left_, pulse_left_};
    ASSIGN_OR_RETURN(const bool some, SendOnce(&rest, 1, sent));
    if (!some) return moved_any;
    moved_any = true;
    pulse_left_ -= sent;
  }
  const size_t payload_bytes = out_.header.payload_bytes;
  while (sending_) {
    size_t ready = payload_bytes;  // of the payload, to be sent now
    if (crc_) {
      ready = std::min(payload_bytes, PayloadMoved(out_.moved_bytes, payload_bytes) + kCrcChunkBytes);
      ready = std::max(ready, out_.crc_bytes);
      out_.crc = Crc32c(out_.crc, out_payload_ + out_.crc_bytes, ready - out_.crc_bytes);
      out_.crc_bytes = ready;
      out_.trailer.crc = TrailerCrc(out_.crc, out_.trailer.aborted);
    }
    size_t skip = out_.moved_bytes;
    iovec parts[3];
    parts[0] = Rest(&out_.header, sizeof(FrameHeader), skip);
    parts[1] = Rest(const_cast<std::byte*>(out_payload_), ready, skip);
    parts[2] = Rest(&out_.trailer, sizeof(FrameTrailer), skip);
    ASSIGN_OR_RETURN(const bool some, SendOnce(parts, ready == payload_bytes ? 3 : 2, sent));
    if (!some) return moved_any;
    moved_any = true;
    out_.moved_bytes += sent;
    if (out_.moved_bytes == sizeof(FrameHeader) + payload_bytes + sizeof(FrameTrailer)) sending_ = false;
  }
  return moved_any;
}

absl::Status TcpLink::Ended() {
  closed_ = true;
  if (peer_failing_) return PeerError(absl::StrCat("rank ", peer_, " failed, and ended before it said why"));
  return PeerError(absl::StrCat("rank ", peer_, " died (its connection ended)"));
}

absl::Status TcpLink::Damage() const {
  return PeerError(absl::StrFormat(
      "damaged data on the link from rank %d (%s) to rank %d (%s): %s, %d bytes, arrived with CRC-32C %08x "
      "and was sent with %08x. A network card, switch or memory on that way changes bits: look at the "
      "machines' counters of errors",
      peer_, AddressText(fd_.get(), false), rank_, AddressText(fd_.get(), true),
      comm::Describe(in_.header.descriptor), in_.header.payload_bytes,
      TrailerCrc(in_.crc, in_.trailer.aborted), in_.trailer.crc));
}

absl::Status TcpLink::Failure() const {
  FailureNote note;
  std::memcpy(&note, note_.data(), sizeof note);
  return StatusOfTrouble(note.trouble, note.code,
                         absl::StrCat("rank ", peer_, " reports: ", note_.substr(sizeof note)));
}

void TcpLink::AcceptPulse() {
  Pulse pulse;
  std::memcpy(&pulse, note_.data(), sizeof pulse);
  const int64_t now = MonotonicNanoseconds();
  if (pulse.noted_age >= 0) noted_ = std::max<int64_t>(now - std::min(pulse.noted_age, now), 1);
  awaits_ = pulse.awaits;
  awaits_told_ = now;
  if (pulse.newest_age >= 0) newest_ = std::max<int64_t>(now - std::min(pulse.newest_age, now), 1);
}

absl::Status TcpLink::AcceptHeader() {
  have_header_ = true;
  const absl::Status sound = CheckHeader(in_.header, generation_);
  if (!sound.ok()) {
    return Annotate(sound, absl::StrCat("rank ", peer_, " (", AddressText(fd_.get(), false), ")"));
  }
  in_.crc = 0;
  if (in_.header.kind == FrameKind::kGoodbye) left_ = true;
  if (in_.header.kind == FrameKind::kFailure || in_.header.kind == FrameKind::kPulse) {
    note_.resize(in_.header.payload_bytes);
  }
  return absl::OkStatus();
}

absl::Status TcpLink::AcceptFrame() {
  have_header_ = false;
  in_.moved_bytes = 0;
  const bool checked = (in_.header.flags & kFlagCrc) != 0;
  if (checked && in_.trailer.crc != TrailerCrc(in_.crc, in_.trailer.aborted)) return Damage();
  if (in_.header.kind == FrameKind::kFailure) return Failure();
  if (in_.header.kind == FrameKind::kPulse) AcceptPulse();
  if (in_.trailer.aborted != 0) peer_failing_ = true;
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
    // Until the header is known nothing else is read, since what follows may be another frame.
    const size_t payload = have_header_ ? in_.header.payload_bytes : 0;
    std::byte* const into =
        message ? static_cast<std::byte*>(wanted->data) : reinterpret_cast<std::byte*>(note_.data());
    const bool checked = have_header_ && (in_.header.flags & kFlagCrc) != 0;
    const size_t before = PayloadMoved(in_.moved_bytes, payload);
    const size_t room = checked ? std::min(payload, before + kCrcChunkBytes) : payload;
    size_t skip = in_.moved_bytes;
    iovec parts[3];
    parts[0] = Rest(&in_.header, sizeof(FrameHeader), skip);
    parts[1] = Rest(into, room, skip);
    parts[2] = Rest(&in_.trailer, have_header_ && room == payload ? sizeof(FrameTrailer) : 0, skip);
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
    if (checked) in_.crc = Crc32c(in_.crc, into + before, PayloadMoved(in_.moved_bytes, payload) - before);
    if (in_.moved_bytes < sizeof(FrameHeader) + payload + sizeof(FrameTrailer)) continue;
    RETURN_IF_ERROR(AcceptFrame());
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
