#include "comm/tcp/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {
namespace {

constexpr size_t kSpareSeats = 64;  // for strangers, beside those of the ranks
constexpr absl::Duration kHandshakeTime = absl::Seconds(5);

struct FreeAddress {
  void operator()(addrinfo* info) const { freeaddrinfo(info); }
};

// Numeric hosts only: names were resolved where they were found.
absl::StatusOr<std::unique_ptr<addrinfo, FreeAddress>> Resolve(const std::string& host,
                                                               const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return PeerError(absl::StrCat("address ", host, " port ", port, ": ", gai_strerror(error)));
  return std::unique_ptr<addrinfo, FreeAddress>(found);
}

bool IsLoopback(const addrinfo& info) {
  if (info.ai_family == AF_INET6) {
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(info.ai_addr)->sin6_addr);
  }
  const uint32_t host = ntohl(reinterpret_cast<const sockaddr_in*>(info.ai_addr)->sin_addr.s_addr);
  return host >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

// Inside a machine nothing is shared that could be congested. BBR, the default of some systems, would hold
// back what it takes for more than the path carries, which halves the speed. To be set before there is a
// connection: what starts with BBR goes on pacing. Reno is the one that every kernel has, for everybody.
void TuneForLoopback(int fd, const addrinfo& info) {
  if (IsLoopback(info)) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

// Where there is no way to the other end, nobody has said no: that is silence.
absl::Status ConnectError(const std::string& endpoint, int error) {
  const bool no_way =
      error == EHOSTUNREACH || error == ENETUNREACH || error == EHOSTDOWN || error == ETIMEDOUT;
  return no_way ? DeadlineError(ErrnoText(endpoint, error)) : PeerError(ErrnoText(endpoint, error));
}

}  // namespace

void TuneSocket(int fd) {
  const int on = 1, idle_s = 10, interval_s = 5, probes = 3;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // A machine that vanished without a word is noticed even between collectives.
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

void PaceSocket(int fd, uint64_t bytes_per_second) {
  setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &bytes_per_second, sizeof bytes_per_second);
  // A congestion control that probes for more than the pace pauses to make up for it; this one does not.
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
}

absl::StatusOr<Fd> ConnectTcp(const std::string& endpoint, Deadline deadline, int interrupt_fd) {
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string::npos) return PeerError(absl::StrCat("'", endpoint, "' is no address"));
  std::string host = endpoint.substr(0, colon);
  if (absl::StartsWith(host, "[")) host = host.substr(1, host.size() - 2);
  ASSIGN_OR_RETURN(const auto address, Resolve(host, endpoint.substr(colon + 1)));
  Fd fd(socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return PeerError(ErrnoText("socket", errno));
  TuneForLoopback(fd.get(), *address);
  if (connect(fd.get(), address->ai_addr, address->ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return ConnectError(endpoint, errno);
    pollfd polled[2] = {{fd.get(), POLLOUT, 0}, {interrupt_fd, POLLIN, 0}};
    while (polled[0].revents == 0) {
      const int left_ms =
          static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(deadline.Left()) + 1, 1000));
      poll(polled, 2, left_ms);
      if (polled[1].revents != 0) return absl::CancelledError("interrupted");
      if (polled[0].revents == 0 && deadline.Passed()) {
        return DeadlineError(absl::StrCat(endpoint, " did not answer before the deadline"));
      }
    }
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return ConnectError(endpoint, error);
  }
  TuneSocket(fd.get());
  return fd;
}

absl::StatusOr<std::unique_ptr<TcpListener>> TcpListener::Make(const std::string& address,
                                                               HandshakeIdentity self, int size,
                                                               std::function<void()> on_peer) {
  std::unique_ptr<TcpListener> made(new TcpListener(std::move(self), size, std::move(on_peer)));
  ASSIGN_OR_RETURN(const auto info, Resolve(address, "0"));
  made->listener_ = Fd(socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  made->stop_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const int fd = made->listener_.get();
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (fd >= 0) TuneForLoopback(fd, *info);
  if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, 512) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    return PeerError(ErrnoText(absl::StrCat("cannot listen on ", address), errno));
  }
  const bool six = bound.ss_family == AF_INET6;
  const uint16_t port = ntohs(six ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                                  : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
  made->endpoint_ = six ? absl::StrCat("[", address, "]:", port) : absl::StrCat(address, ":", port);
  made->thread_ = std::thread(&TcpListener::Loop, made.get());
  return made;
}

TcpListener::~TcpListener() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  if (write(stop_.get(), &one, sizeof one) == sizeof one) thread_.join();
}

std::map<int, Fd> TcpListener::TakePeers() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(peers_, {});
}

bool TcpListener::Accept(std::vector<Caller>& callers) {
  while (true) {
    Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
    if (callers.size() >= kSpareSeats + 2 * static_cast<size_t>(size_))
      callers.erase(callers.begin());  // the oldest has had its chance
    TuneSocket(fd.get());
    Caller caller{ListenerHandshake(std::move(fd), &self_, size_), Deadline::After(kHandshakeTime)};
    if (GoesOn(caller)) callers.push_back(std::move(caller));  // what it said already is read before it waits
  }
}

bool TcpListener::GoesOn(Caller& caller) {
  const auto outcome = caller.handshake.Advance();
  if (outcome == ListenerHandshake::Outcome::kDone) Admit(std::move(caller.handshake));
  return outcome == ListenerHandshake::Outcome::kGoesOn;
}

void TcpListener::Admit(ListenerHandshake handshake) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    peers_.emplace(handshake.peer(), handshake.TakeFd());
  }
  on_peer_();
}

void TcpListener::Loop() {
  NameThread("lockstep-listen");
  std::vector<Caller> callers;
  bool room = true;  // for one file more in this process; without it callers wait at the door for a moment
  while (true) {
    const short wanted = room ? POLLIN : 0;
    std::vector<pollfd> polled{{stop_.get(), POLLIN, 0}, {listener_.get(), wanted, 0}};
    for (const Caller& caller : callers) polled.push_back({caller.handshake.fd(), POLLIN, 0});
    poll(polled.data(), polled.size(), callers.empty() && room ? -1 : 200);
    if (polled[0].revents != 0) return;
    std::vector<Caller> remaining;
    for (size_t i = 0; i < callers.size(); ++i) {
      const bool goes_on = polled[i + 2].revents == 0 || GoesOn(callers[i]);
      if (goes_on && !callers[i].deadline.Passed()) remaining.push_back(std::move(callers[i]));
    }
    callers = std::move(remaining);
    if (!room || polled[1].revents != 0) room = Accept(callers);
  }
}

}  // namespace lockstep::comm
