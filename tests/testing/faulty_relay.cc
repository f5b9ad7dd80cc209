#include "tests/testing/faulty_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace lockstep::testing {
namespace {

constexpr int kPieceBytes = 16 << 10;
constexpr int kLookMs = 20;  // at whether it is to stop

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

int Dial(const std::string& target) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto port = static_cast<uint16_t>(std::stoi(target.substr(target.find(':') + 1)));
  const sockaddr_in address = Loopback(port);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

}  // namespace

// Descriptors are closed when both threads have ended, so that no number is used twice.
struct FaultyRelay::Connection {
  int ends[2] = {-1, -1};  // the caller's and the listener's
  std::atomic<bool> over{false};
  std::thread carriers[2];

  void Shutdown() {
    over = true;
    for (const int fd : ends) shutdown(fd, SHUT_RDWR);
  }
  ~Connection() {
    Shutdown();
    for (std::thread& carrier : carriers) {
      if (carrier.joinable()) carrier.join();
    }
    for (const int fd : ends) close(fd);
  }
};

std::string RelayHarm::Describe() const {
  const char* const names[] = {"none", "close", "reset", "stall", "flip"};
  return absl::StrCat(names[static_cast<int>(kind)], backwards ? " backwards" : " forwards", " at byte ",
                      at_byte, ", accepts after ", absl::FormatDuration(accept_delay), ", carries after ",
                      absl::FormatDuration(chunk_delay));
}

absl::StatusOr<std::unique_ptr<FaultyRelay>> FaultyRelay::Start(const std::string& target,
                                                                const RelayHarm& harm) {
  auto relay = std::unique_ptr<FaultyRelay>(new FaultyRelay(harm));
  relay->target_ = target;
  RETURN_IF_ERROR(relay->Listen());
  relay->accepting_ = std::thread(&FaultyRelay::AcceptLoop, relay.get());
  return relay;
}

absl::Status FaultyRelay::Listen() {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return absl::InternalError(ErrnoText("the relay cannot listen", errno));
  }
  endpoint_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  return absl::OkStatus();
}

FaultyRelay::~FaultyRelay() {
  stopped_ = true;
  if (accepting_.joinable()) accepting_.join();
  for (const auto& connection : connections_) connection->Shutdown();
  connections_.clear();
  if (listener_ >= 0) close(listener_);
}

void FaultyRelay::AcceptLoop() {
  while (!stopped_) {
    pollfd polled{listener_, POLLIN, 0};
    if (poll(&polled, 1, kLookMs) <= 0) continue;
    absl::SleepFor(harm_.accept_delay);
    auto connection = std::make_shared<Connection>();
    connection->ends[0] = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    connection->ends[1] = Dial(target_);
    if (connection->ends[0] < 0 || connection->ends[1] < 0) continue;  // the caller sees the end
    const int on = 1;
    for (const int fd : connection->ends) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (const bool backwards : {false, true}) {
      connection->carriers[backwards] =
          std::thread(&FaultyRelay::Carry, this, std::ref(*connection), backwards);
    }
    std::lock_guard lock(mutex_);
    connections_.push_back(std::move(connection));
  }
}

void FaultyRelay::Carry(Connection& connection, bool backwards) {
  std::vector<char> piece(kPieceBytes);
  while (!connection.over) {
    const ssize_t got = recv(connection.ends[backwards], piece.data(), piece.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {  // ended in this direction: passed on, the other one goes on
      shutdown(connection.ends[!backwards], SHUT_WR);
      return;
    }
    if (!CarryPiece(connection, backwards, piece.data(), got)) return;
  }
}

bool FaultyRelay::CarryPiece(Connection& connection, bool backwards, char* piece, int64_t size_bytes) {
  const int64_t first = carried_[backwards].fetch_add(size_bytes);
  const int64_t place = harm_.at_byte - first;
  const bool now = harm_.kind != RelayHarm::Kind::kNone && backwards == harm_.backwards && place >= 0 &&
                   place < size_bytes;
  if (now && harm_.kind == RelayHarm::Kind::kFlip) piece[place] ^= 1 << (harm_.at_byte % 8);
  const bool ends = now && harm_.kind != RelayHarm::Kind::kFlip;
  absl::SleepFor(harm_.chunk_delay);
  const int64_t end = ends ? place : size_bytes;
  for (int64_t sent = 0; sent < end;) {
    const ssize_t some = send(connection.ends[!backwards], piece + sent, end - sent, MSG_NOSIGNAL);
    if (some < 0 && errno == EINTR) continue;
    if (some < 0) return false;
    sent += some;
  }
  if (now) harmed_ = true;
  if (!ends) return true;
  if (harm_.kind == RelayHarm::Kind::kStall) {
    while (!stopped_ && !connection.over) absl::SleepFor(absl::Milliseconds(kLookMs));
    return false;
  }
  if (harm_.kind == RelayHarm::Kind::kReset) {
    const linger abrupt{1, 0};
    for (const int fd : connection.ends) {
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
      sockaddr nowhere{};
      nowhere.sa_family = AF_UNSPEC;  // drops the connection at once, with a reset
      connect(fd, &nowhere, sizeof nowhere);
    }
  }
  connection.Shutdown();
  return false;
}

}  // namespace lockstep::testing
