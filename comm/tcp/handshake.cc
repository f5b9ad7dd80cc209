#include "comm/tcp/handshake.h"

#include <openssl/crypto.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/string_view.h"
#include "comm/store.h"
#include "runtime/core/hash.h"

namespace lockstep::comm {
namespace {

constexpr uint32_t kMagic = 0x504b4b4cu;  // "LKKP"
constexpr uint32_t kVersion = 3;          // of the handshake and of the frames that follow
constexpr size_t kNonceBytes = 32, kProofBytes = 32, kReplyBytes = kNonceBytes + kProofBytes;
constexpr char kAccepted[4] = {'O', 'K', '\r', '\n'};

struct Hello {
  uint32_t magic;
  uint32_t version;
  int32_t from;
  int32_t to;
  uint64_t generation;
  char nonce[kNonceBytes];
  uint64_t unused;
};
static_assert(sizeof(Hello) == 64);

std::string Proof(const std::string& secret, absl::string_view role, absl::string_view transcript) {
  return HmacSha256(secret, absl::StrCat("lockstep tcp ", role, " ", transcript));
}

bool Equal(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

absl::Status AwaitSocket(int fd, short events, Deadline deadline, int interrupt_fd) {
  while (true) {
    pollfd polled[2] = {{fd, events, 0}, {interrupt_fd, POLLIN, 0}};
    const int left_ms =
        static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(deadline.Left()) + 1, 1000));
    poll(polled, 2, left_ms);
    if (polled[0].revents != 0) return absl::OkStatus();
    if (polled[1].revents != 0) return absl::CancelledError("interrupted");
    if (deadline.Passed()) return DeadlineError("no answer at the deadline");
  }
}

absl::Status SendAll(int fd, absl::string_view bytes, Deadline deadline, int interrupt_fd) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(sent);
    } else if (errno == EAGAIN || errno == EINTR) {
      RETURN_IF_ERROR(AwaitSocket(fd, POLLOUT, deadline, interrupt_fd));
    } else {
      return PeerError(ErrnoText("send", errno));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> RecvExactly(int fd, size_t size_bytes, Deadline deadline, int interrupt_fd) {
  std::string bytes(size_bytes, '\0');
  size_t have = 0;
  while (have < size_bytes) {
    const ssize_t got = recv(fd, &bytes[have], size_bytes - have, MSG_DONTWAIT);
    if (got > 0) {
      have += got;
    } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      RETURN_IF_ERROR(AwaitSocket(fd, POLLIN, deadline, interrupt_fd));
    } else {
      return PeerError("the other end hung up");
    }
  }
  return bytes;
}

}  // namespace

absl::Status CallPeer(int fd, const HandshakeIdentity& self, int peer, Deadline deadline, int interrupt_fd) {
  Hello hello{kMagic, kVersion, self.rank, peer, self.generation, {}, 0};
  std::memcpy(hello.nonce, RandomSecret().data(), kNonceBytes);
  std::string transcript(reinterpret_cast<const char*>(&hello), sizeof hello);
  RETURN_IF_ERROR(SendAll(fd, transcript, deadline, interrupt_fd));
  ASSIGN_OR_RETURN(const std::string reply, RecvExactly(fd, kReplyBytes, deadline, interrupt_fd));
  transcript += reply.substr(0, kNonceBytes);
  if (!Equal(reply.substr(kNonceBytes), Proof(self.secret, "listener", transcript))) {
    return PeerError("it does not know this job's secret; is it of another job?");
  }
  RETURN_IF_ERROR(SendAll(fd, Proof(self.secret, "caller", transcript), deadline, interrupt_fd));
  ASSIGN_OR_RETURN(const std::string accepted, RecvExactly(fd, sizeof kAccepted, deadline, interrupt_fd));
  if (std::memcmp(accepted.data(), kAccepted, sizeof kAccepted) != 0)
    return PeerError("it answered nonsense");
  return absl::OkStatus();
}

// Checks the Hello and answers it. False for strangers.
bool ListenerHandshake::Reply() {
  Hello hello;
  std::memcpy(&hello, received_.data(), sizeof hello);
  if (hello.version != kVersion || hello.to != self_->rank || hello.generation != self_->generation ||
      hello.from <= self_->rank || hello.from >= size_) {
    return false;
  }
  peer_ = hello.from;
  const std::string nonce = RandomSecret();
  transcript_ = received_ + nonce;
  received_.clear();
  replied_ = true;
  const std::string reply = nonce + Proof(self_->secret, "listener", transcript_);
  // A fresh socket's buffer holds 64 bytes; one that does not is no peer of ours.
  return send(fd_.get(), reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(reply.size());
}

ListenerHandshake::Outcome ListenerHandshake::Advance() {
  while (true) {
    const size_t wanted = replied_ ? kProofBytes : sizeof(Hello);
    char buffer[sizeof(Hello)];
    const ssize_t got = recv(fd_.get(), buffer, wanted - received_.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Outcome::kGoesOn;
    if (got <= 0) return Outcome::kRejected;
    received_.append(buffer, got);
    const uint32_t magic = kMagic;
    const size_t seen = std::min(received_.size(), sizeof magic);
    if (!replied_ && std::memcmp(received_.data(), &magic, seen) != 0) return Outcome::kRejected;
    if (received_.size() < wanted) continue;
    if (!replied_) {
      if (!Reply()) return Outcome::kRejected;
      continue;
    }
    if (!Equal(received_, Proof(self_->secret, "caller", transcript_))) return Outcome::kRejected;
    const ssize_t sent = send(fd_.get(), kAccepted, sizeof kAccepted, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent == sizeof kAccepted ? Outcome::kDone : Outcome::kRejected;
  }
}

}  // namespace lockstep::comm
