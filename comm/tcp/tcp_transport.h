// The mesh of connections of one rank. Connections are made on first need: the higher rank calls, the lower
// one listens.
#ifndef LOCKSTEP_COMM_TCP_TCP_TRANSPORT_H_
#define LOCKSTEP_COMM_TCP_TCP_TRANSPORT_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/engine.h"
#include "comm/p2p/transport.h"
#include "comm/tcp/link.h"
#include "comm/tcp/listener.h"

namespace lockstep::comm {

class TcpTransport : public Mesh {
 public:
  // `pacing_bytes_per_second`: see TcpOptions.
  TcpTransport(HandshakeIdentity self, int size, uint64_t pacing_bytes_per_second = 0);
  ~TcpTransport() override;  // says goodbye

  // Listens on `address`; endpoint() is then what the others must know.
  absl::Status Listen(const std::string& address);
  const std::string& endpoint() const { return listener_->endpoint(); }
  void SetEndpoints(std::vector<std::string> endpoints) { endpoints_ = std::move(endpoints); }

  // Connects to every peer.
  absl::Status ConnectAll(Deadline deadline);

  void Enter(RunContext& context) override { context_ = &context; }
  absl::Status Exchange(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                        const char* phase) override;

  void Interrupt(const absl::Status& reason) override;
  void ReportFailure(const absl::Status& reason) override;

 private:
  struct Queues;
  absl::Status Connect(int peer, Deadline deadline);
  void AdoptCallers();
  void AddLink(int peer, Fd fd);
  absl::Status Advance(Queues& queues, bool& moved);
  absl::Status AdvanceLink(TcpLink& link, Queues& queues, bool& moved);
  absl::Status AwaitSomething(const Queues& queues, const char* phase);
  absl::Status Interruption();
  void Wake();

  const HandshakeIdentity self_;
  const int size_;
  const uint64_t pacing_bytes_per_second_;
  std::vector<std::string> endpoints_;
  std::unique_ptr<TcpListener> listener_;
  std::vector<std::unique_ptr<TcpLink>> links_;  // by peer; null until connected
  RunContext* context_ = nullptr;

  Fd wake_;       // an eventfd: a caller was admitted, or Interrupt
  Fd interrupt_;  // an eventfd that stays readable after Interrupt
  std::atomic<bool> interrupted_{false};
  std::mutex mutex_;
  absl::Status reason_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_TCP_TRANSPORT_H_
