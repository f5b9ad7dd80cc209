// A connection to what is fuzzed: one end says bytes and hangs up, the other end hears them.
#ifndef LOCKSTEP_TESTS_FUZZ_SOCKET_ENDS_H_
#define LOCKSTEP_TESTS_FUZZ_SOCKET_ENDS_H_

#include <sys/socket.h>

#include <algorithm>
#include <string>

#include "comm/fd.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep::testing {

struct SocketEnds {
  static constexpr size_t kMostBytes = 32768;  // what a socket takes without anyone reading

  SocketEnds() {
    int fds[2];
    Require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0, "there are sockets");
    stranger = comm::Fd(fds[0]);
    own = comm::Fd(fds[1]);
  }
  // The stranger says `bytes` and hangs up.
  void Say(absl::string_view bytes) {
    const size_t n = std::min(bytes.size(), kMostBytes);
    if (n > 0) {
      Require(send(stranger.get(), bytes.data(), n, MSG_NOSIGNAL) == static_cast<ssize_t>(n),
              "a socket takes 32 KiB");
    }
    shutdown(stranger.get(), SHUT_WR);
  }
  // What the stranger has heard since.
  std::string Heard() {
    std::string bytes(kMostBytes, '\0');
    const ssize_t got = recv(stranger.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got < 0 ? 0 : got);
    return bytes;
  }

  comm::Fd stranger, own;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_FUZZ_SOCKET_ENDS_H_
