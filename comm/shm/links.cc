#include "comm/shm/links.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "comm/culprits.h"
#include "comm/shm/control.h"
#include "runtime/core/hash.h"

namespace lockstep::comm {
namespace {

constexpr uint32_t kMagic = 0x534c4b4cu;  // "LKLS"
constexpr int kLookMs = 100;              // between looks at whether the wait still makes sense

// The one message that each end of a link sends; the arena's descriptor travels with it.
struct Hello {
  uint32_t magic;
  int32_t from;
  int32_t to;
  uint32_t unused;
  uint64_t generation;
  char proof[32];  // HMAC-SHA256 of the secret over everything above and the acceptor's address
};

std::string ProofOf(const Hello& hello, const std::string& secret, const std::string& address) {
  return HmacSha256(secret, absl::StrCat("lockstep shm link ", hello.from, " ", hello.to, " ",
                                         hello.generation, " ", address));
}

sockaddr_un AbstractAddress(const std::string& name, socklen_t& length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // A leading zero byte: a name of the kernel, not of the file system, so nothing stays behind.
  std::memcpy(address.sun_path + 1, name.data(), std::min(name.size(), sizeof address.sun_path - 1));
  length = offsetof(sockaddr_un, sun_path) + 1 + name.size();
  return address;
}

absl::StatusOr<Fd> Listen(const std::string& name, int backlog) {
  Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return PeerError(ErrnoText("shared memory: socket", errno));
  socklen_t length;
  const sockaddr_un address = AbstractAddress(name, length);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      listen(fd.get(), backlog) != 0) {
    return PeerError(ErrnoText("shared memory: cannot listen on a Unix socket", errno));
  }
  return fd;
}

absl::Status SendHello(int fd, const Hello& hello, int arena_fd) {
  iovec data{const_cast<Hello*>(&hello), sizeof hello};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &arena_fd, sizeof arena_fd);
  if (sendmsg(fd, &message, MSG_NOSIGNAL) == sizeof hello) return absl::OkStatus();
  return PeerError(ErrnoText("shared memory: cannot send the arena", errno));
}

// Receives without waiting. False when what came is no proper hello.
bool RecvHello(int fd, Hello& hello, Fd& arena_fd) {
  iovec data{&hello, sizeof hello};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) return false;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int received;
    std::memcpy(&received, CMSG_DATA(header), sizeof received);
    arena_fd = Fd(received);
  }
  return got == sizeof hello && arena_fd.valid() && hello.magic == kMagic;
}

class Connector {
 public:
  Connector(Meeting& meeting, uint64_t generation, int arena_fd, const std::vector<int>& names)
      : meeting_(meeting),
        generation_(generation),
        arena_fd_(arena_fd),
        names_(names),
        links_(meeting.size()) {}

  absl::Status Listen() {
    address_ = absl::StrCat("lockstep-", absl::BytesToHexString(RandomSecret().substr(0, 12)));
    ASSIGN_OR_RETURN(listener_, comm::Listen(address_, meeting_.size() + 8));
    return absl::OkStatus();
  }
  const std::string& address() const { return address_; }

  // Calls every lower rank; connecting to a listening Unix socket does not wait for its owner.
  absl::Status CallLowerRanks(const std::vector<std::string>& addresses) {
    for (int peer = 0; peer < meeting_.rank(); ++peer) {
      Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
      socklen_t length;
      const sockaddr_un address = AbstractAddress(addresses[peer].substr(0, 100), length);
      if (!fd.valid() || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
        const int error = errno;
        return WithCulprits(
            PeerError(ErrnoText(absl::StrCat("rank ", NameOf(peer), " cannot be reached over shared memory"),
                                error)),
            {NameOf(peer)});
      }
      RETURN_IF_ERROR(SendHello(fd.get(), MyHello(peer, addresses[peer]), arena_fd_));
      waiting_.push_back({std::move(fd), peer, addresses[peer]});
    }
    return absl::OkStatus();
  }

  // Answers higher ranks and hears lower ranks' answers until every link stands.
  absl::Status Finish(Deadline deadline) {
    int missing = meeting_.size() - 1;
    while (missing > 0) {
      std::vector<pollfd> polled{{listener_.get(), POLLIN, 0}};
      for (const Waiting& one : waiting_) polled.push_back({one.fd.get(), POLLIN, 0});
      const int left_ms =
          static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(deadline.Left()) + 1, kLookMs));
      if (poll(polled.data(), polled.size(), left_ms) < 0 && errno != EINTR) {
        return PeerError(ErrnoText("shared memory: poll", errno));
      }
      if (deadline.Passed()) return MissingError();
      RETURN_IF_ERROR(meeting_.Health());
      for (size_t i = polled.size() - 1; i >= 1; --i) {
        if (polled[i].revents == 0) continue;
        Waiting one = std::move(waiting_[i - 1]);
        waiting_.erase(waiting_.begin() + (i - 1));
        ASSIGN_OR_RETURN(const bool linked, Hear(std::move(one)));
        if (linked) --missing;
      }
      Fd caller(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (caller.valid() && waiting_.size() < 2 * kMaxShmRanks)
        waiting_.push_back({std::move(caller), -1, address_});
    }
    return absl::OkStatus();
  }

  std::vector<ShmLink> TakeLinks() { return std::move(links_); }

 private:
  struct Waiting {
    Fd fd;
    int peer;             // whom we called, or -1 for a caller who has not said who it is
    std::string address;  // of the end that accepted
  };

  Hello MyHello(int to, const std::string& acceptor) const {
    Hello hello{};
    hello.magic = kMagic;
    hello.from = meeting_.rank();
    hello.to = to;
    hello.generation = generation_;
    std::memcpy(hello.proof, ProofOf(hello, meeting_.secret(), acceptor).data(), sizeof hello.proof);
    return hello;
  }

  // True when a link now stands; false when a stranger was turned away.
  absl::StatusOr<bool> Hear(Waiting one) {
    Hello hello{};
    Fd arena_fd;
    const bool proper =
        RecvHello(one.fd.get(), hello, arena_fd) && hello.to == meeting_.rank() &&
        hello.generation == generation_ &&
        ProofOf(hello, meeting_.secret(), one.address) == std::string(hello.proof, sizeof hello.proof);
    const bool expected =
        proper && (one.peer >= 0 ? hello.from == one.peer
                                 : hello.from > meeting_.rank() && hello.from < meeting_.size() &&
                                       !links_[hello.from].socket.valid());
    if (!expected) {
      if (one.peer >= 0)
        return WithCulprits(
            PeerError(absl::StrCat("rank ", NameOf(one.peer), " did not answer over shared memory")),
            {NameOf(one.peer)});
      return false;
    }
    ASSIGN_OR_RETURN(Mapping mapping, Mapping::Map(arena_fd.get(), false));
    if (mapping.size_bytes() < HeadBytes(meeting_.size())) {
      return PeerError(absl::StrCat("rank ", NameOf(hello.from), " offered too little shared memory"));
    }
    if (one.peer < 0) RETURN_IF_ERROR(SendHello(one.fd.get(), MyHello(hello.from, address_), arena_fd_));
    links_[hello.from] = {std::move(one.fd), std::move(mapping)};
    return true;
  }

  int NameOf(int peer) const { return names_.empty() ? peer : names_[peer]; }

  absl::Status MissingError() const {
    std::vector<int> missing;
    for (int peer = 0; peer < meeting_.size(); ++peer) {
      if (peer != meeting_.rank() && !links_[peer].socket.valid()) missing.push_back(NameOf(peer));
    }
    return WithCulprits(
        DeadlineError(absl::StrCat("shared memory: at the deadline these ranks were missing: ",
                                   absl::StrJoin(missing, ", "))),
        missing);
  }

  Meeting& meeting_;
  const uint64_t generation_;
  const int arena_fd_;
  const std::vector<int>& names_;
  std::vector<ShmLink> links_;
  std::vector<Waiting> waiting_;
  std::string address_;
  Fd listener_;
};

// Tells everyone how it went here; the first failure is everyone's.
absl::Status Agree(Meeting& meeting, const std::string& name, const absl::Status& mine, Deadline deadline) {
  auto texts = meeting.Exchange(name, mine.ok() ? "" : mine.message(), deadline);
  if (!mine.ok()) return mine;
  if (!texts.ok()) return texts.status();
  for (int rank = 0; rank < meeting.size(); ++rank) {
    if (!(*texts)[rank].empty()) return PeerError(absl::StrCat("rank ", rank, " reports: ", (*texts)[rank]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<ShmLink>> ConnectShmLinks(Meeting& meeting, uint64_t generation, int arena_fd,
                                                     Deadline deadline, const std::vector<int>& names) {
  const std::string prefix = absl::StrCat("shm/", generation, "/");
  Connector connector(meeting, generation, arena_fd, names);
  absl::Status status = arena_fd >= 0 ? connector.Listen() : PeerError("no arena");
  ASSIGN_OR_RETURN(const auto addresses, meeting.Exchange(prefix + "address", connector.address(), deadline));
  if (meeting.size() > kMaxShmRanks) status = PeerError(absl::StrCat("more than ", kMaxShmRanks, " ranks"));
  if (status.ok()) status = connector.CallLowerRanks(addresses);
  // Who could not call leaves; the others hear of it at `ready` and need not wait for it until the deadline.
  RETURN_IF_ERROR(Agree(meeting, prefix + "called", status, deadline));
  status = connector.Finish(deadline);
  RETURN_IF_ERROR(Agree(meeting, prefix + "ready", status, deadline));
  return connector.TakeLinks();
}

}  // namespace lockstep::comm
