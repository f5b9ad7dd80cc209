// The mesh of connections of one rank. Connections are made on first need: the higher rank calls, the lower
// one listens.
#ifndef LOCKSTEP_COMM_TCP_TCP_TRANSPORT_H_
#define LOCKSTEP_COMM_TCP_TCP_TRANSPORT_H_

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/engine.h"
#include "comm/liveness.h"
#include "comm/p2p/transport.h"
#include "comm/tcp/link.h"
#include "comm/tcp/listener.h"

namespace lockstep::comm {

class TcpTransport : public Mesh {
 public:
  // `payload_crc`, `pacing_bytes_per_second`: see TcpOptions.
  TcpTransport(HandshakeIdentity self, int size, bool payload_crc, uint64_t pacing_bytes_per_second = 0);
  ~TcpTransport() override;  // says goodbye

  // Listens on `address`; endpoint() is then what the others must know.
  absl::Status Listen(const std::string& address);
  const std::string& endpoint() const { return listener_->endpoint(); }
  void SetEndpoints(std::vector<std::string> endpoints) { endpoints_ = std::move(endpoints); }

  // Connects to every peer, while `health` is OK. Error: the first, with all peers that could not be reached
  // as culprits.
  absl::Status ConnectAll(Deadline deadline, const std::function<absl::Status()>& health);

  void Enter(RunContext& context) override { context_ = &context; }
  absl::Status Exchange(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                        const char* phase) override;

  // From any thread. From the first time on the peers are sent pulses, twice a second.
  void NoteProgress() override;

  void Interrupt(const absl::Status& reason) override;
  void ReportFailure(const absl::Status& reason) override;

 private:
  struct Queues;
  struct Calls;
  absl::Status AwaitAll(Calls& calls, Deadline deadline, const std::function<absl::Status()>& health);
  absl::Status Connect(int peer, Deadline deadline);
  void AdoptCallers();
  void AddLink(int peer, Fd fd);
  absl::Status Advance(Queues& queues, bool& moved);
  absl::Status AdvanceLink(TcpLink& link, Queues& queues, bool& moved);
  absl::Status AwaitSomething(Queues& queues, const char* phase, std::unique_lock<std::mutex>& io);
  // Has something on the way to every peer well before the deadline: who of the awaited does not acknowledge it
  // then is out of reach, and who waits for this rank learns whom this one waits for.
  void ProbeAwaited(Queues& queues);
  // The awaited peers, the likeliest culprit first.
  std::vector<int> Awaited(const Queues& queues) const;
  int AwaitedBy(int peer) const;  // as it said since this wait began; -1: nobody
  absl::Status DeadlinePassed(const Queues& queues, const char* phase) const;
  bool Reached(int peer) const;
  std::string DescribePeer(int peer) const;

  void StartPulses();
  void StopPulses();  // for good
  void PulseLoop();
  void HearPulses();       // with io_ held
  void SendPulses();       // with io_ held
  Pulse OwnPulse() const;  // with io_ held
  absl::Status Interruption();
  void Wake();

  const HandshakeIdentity self_;
  const int size_;
  const bool payload_crc_;
  const uint64_t pacing_bytes_per_second_;
  std::vector<std::string> endpoints_;
  std::unique_ptr<TcpListener> listener_;
  // The links and what goes over them. Exchange holds it but while it polls, so that pulses go out from a
  // rank that waits, too.
  std::mutex io_;
  std::vector<std::unique_ptr<TcpLink>> links_;  // by peer; null until connected
  RunContext* context_ = nullptr;

  Liveness liveness_;
  std::atomic<bool> pulsing_{false};
  int awaits_ = -1;            // as Pulse::awaits; with io_ held
  std::vector<int64_t> told_;  // by peer: the newest moment that it was sent
  std::mutex pulse_mutex_;
  std::condition_variable pulse_stops_;
  bool pulse_stopped_ = false;
  std::thread pulse_;

  Fd wake_;       // an eventfd: a caller was admitted, or Interrupt
  Fd interrupt_;  // an eventfd that stays readable after Interrupt
  std::atomic<bool> interrupted_{false};
  std::mutex mutex_;
  absl::Status reason_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_TCP_TRANSPORT_H_
