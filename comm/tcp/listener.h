// A rank's listening socket and the thread that answers it. Strangers (port scans, HTTP, half-open or slow
// connections, wrong secrets) are turned away without disturbing anyone.
#ifndef LOCKSTEP_COMM_TCP_LISTENER_H_
#define LOCKSTEP_COMM_TCP_LISTENER_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/fd.h"
#include "comm/tcp/handshake.h"

namespace lockstep::comm {

class TcpListener {
 public:
  // Listens on a free port of `address` (IPv4 or IPv6 text). `on_peer` is called on the listener's thread
  // after each authenticated connection.
  static absl::StatusOr<std::unique_ptr<TcpListener>> Make(const std::string& address, HandshakeIdentity self,
                                                           int size, std::function<void()> on_peer);
  ~TcpListener();

  // "127.0.0.1:40123" or "[fe80::1]:40123".
  const std::string& endpoint() const { return endpoint_; }
  // The connections of higher ranks since the last call.
  std::map<int, Fd> TakePeers();

 private:
  TcpListener(HandshakeIdentity self, int size, std::function<void()> on_peer)
      : self_(std::move(self)), size_(size), on_peer_(std::move(on_peer)) {}
  struct Caller {
    ListenerHandshake handshake;
    Deadline deadline;
  };
  void Loop();
  // False: this process cannot open another file now.
  bool Accept(std::vector<Caller>& callers);
  bool GoesOn(Caller& caller);  // false: admitted or turned away
  void Admit(ListenerHandshake handshake);

  const HandshakeIdentity self_;
  const int size_;
  const std::function<void()> on_peer_;
  std::string endpoint_;
  Fd listener_, stop_;
  std::mutex mutex_;
  std::map<int, Fd> peers_;
  std::thread thread_;
};

// A connected, non-blocking socket to `endpoint`.
absl::StatusOr<Fd> ConnectTcp(const std::string& endpoint, Deadline deadline, int interrupt_fd);
// What every connection of ours is set to.
void TuneSocket(int fd);
// Sends no faster than that: an ordinary network's speed for tests (SO_MAX_PACING_RATE, man 7 socket).
void PaceSocket(int fd, uint64_t bytes_per_second);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_LISTENER_H_
