#include "comm/tcp/tcp_transport.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_join.h"
#include "comm/culprits.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {
namespace {

constexpr absl::Duration kReportTime = absl::Milliseconds(500);
constexpr int kLookMs = 100;  // between looks at the deadline
constexpr auto kPulsePeriod = std::chrono::milliseconds(500);

void Signal(const Fd& fd) {
  const uint64_t one = 1;
  while (write(fd.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void Drain(const Fd& fd) {
  uint64_t count;
  while (read(fd.get(), &count, sizeof count) == sizeof count) {
  }
}

}  // namespace

// What is still to do, for each peer in order.
struct TcpTransport::Queues {
  std::vector<std::deque<const Outgoing*>> out;
  std::vector<std::deque<const Incoming*>> in;
  size_t left = 0;  // messages not complete
  bool probed = false;

  bool Needs(int peer) const { return !out[peer].empty() || !in[peer].empty(); }
};

TcpTransport::TcpTransport(HandshakeIdentity self, int size, bool payload_crc,
                           uint64_t pacing_bytes_per_second)
    : self_(std::move(self)),
      size_(size),
      payload_crc_(payload_crc),
      pacing_bytes_per_second_(pacing_bytes_per_second),
      links_(size),
      told_(size),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      interrupt_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

TcpTransport::~TcpTransport() {
  StopPulses();
  listener_.reset();
  for (const auto& link : links_) {
    if (link == nullptr || link->sending() || link->closed()) continue;
    link->StartSend(FrameKind::kGoodbye, {}, nullptr, 0);
    link->AdvanceSend().IgnoreError();
  }
}

absl::Status TcpTransport::Listen(const std::string& address) {
  ASSIGN_OR_RETURN(listener_, TcpListener::Make(address, self_, size_, [this] { Signal(wake_); }));
  return absl::OkStatus();
}

absl::Status TcpTransport::ConnectAll(Deadline deadline, const std::function<absl::Status()>& health) {
  // Who is behind a broken line costs the whole deadline; the others still deserve a moment, so that this
  // rank knows with whom it can go on.
  constexpr absl::Duration kMoment = absl::Milliseconds(300);
  absl::Status first;
  std::vector<int> missing;
  for (int peer = 0; peer < self_.rank; ++peer) {
    const absl::Status status = Connect(peer, first.ok() ? deadline : Deadline::After(kMoment));
    RETURN_IF_ERROR(health());
    if (status.ok()) continue;
    missing.push_back(peer);
    if (first.ok()) first = status;
  }
  while (true) {
    AdoptCallers();
    std::vector<int> silent;
    for (int peer = self_.rank + 1; peer < size_; ++peer) {
      if (links_[peer] == nullptr) silent.push_back(peer);
    }
    if (silent.empty()) return WithCulprits(first, missing);
    if (deadline.Passed() || !first.ok()) {
      if (first.ok()) {
        first = DeadlineError(
            absl::StrCat("these ranks did not call before the deadline: ", absl::StrJoin(silent, ", ")));
      }
      if (deadline.Passed()) missing.insert(missing.end(), silent.begin(), silent.end());
      return WithCulprits(first, missing);
    }
    RETURN_IF_ERROR(health());
    pollfd polled{wake_.get(), POLLIN, 0};
    poll(&polled, 1, kLookMs);
  }
}

absl::Status TcpTransport::Connect(int peer, Deadline deadline) {
  // A listener that a crowd of strangers besieges hangs up on its oldest callers, and one of them may be us.
  // So a call that breaks off is made again, a few times only: with the wrong secret it would break off every
  // time.
  constexpr int kCalls = 5;
  constexpr absl::Duration kPause = absl::Milliseconds(50);
  absl::Status status;
  for (int call = 0; call < kCalls; ++call) {
    if (call > 0) absl::SleepFor(std::min(kPause, deadline.Left()));
    auto fd = ConnectTcp(endpoints_[peer], deadline, interrupt_.get());
    status = fd.status();
    if (fd.ok()) status = CallPeer(fd->get(), self_, peer, deadline, interrupt_.get());
    if (status.ok()) {
      std::lock_guard<std::mutex> io(io_);
      AddLink(peer, *std::move(fd));
      return absl::OkStatus();
    }
    if (absl::IsCancelled(status)) return Interruption();
    if (!absl::IsUnavailable(status) || deadline.Passed()) break;
  }
  return WithCulprits(Annotate(status, absl::StrCat("connecting to rank ", peer, " at ", endpoints_[peer])),
                      {peer});
}

void TcpTransport::AdoptCallers() {
  Drain(wake_);
  for (auto& [peer, fd] : listener_->TakePeers()) {
    // A second connection of a peer that has one is not ours to trust more than the first.
    if (links_[peer] == nullptr) AddLink(peer, std::move(fd));
  }
}

void TcpTransport::AddLink(int peer, Fd fd) {
  if (pacing_bytes_per_second_ > 0) PaceSocket(fd.get(), pacing_bytes_per_second_);
  links_[peer] = std::make_unique<TcpLink>(std::move(fd), self_.rank, peer, self_.generation, payload_crc_);
}

absl::Status TcpTransport::Exchange(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                                    const char* phase) {
  Queues queues;
  queues.out.resize(size_);
  queues.in.resize(size_);
  queues.left = sends.size() + recvs.size();
  for (const Outgoing& send : sends) queues.out[send.to].push_back(&send);
  for (const Incoming& recv : recvs) queues.in[recv.from].push_back(&recv);
  for (int peer = 0; peer < self_.rank; ++peer) {
    if (!queues.Needs(peer) || links_[peer] != nullptr) continue;
    const absl::Status status = Connect(peer, context_->clock.deadline());
    if (!status.ok()) return Annotate(status, absl::StrCat("phase '", phase, "'"));
  }
  std::unique_lock<std::mutex> io(io_);
  while (queues.left > 0) {
    bool moved = false;
    const absl::Status status = Advance(queues, moved);
    if (!status.ok()) return Annotate(status, absl::StrCat("phase '", phase, "'"));
    if (queues.left > 0 && !moved) RETURN_IF_ERROR(AwaitSomething(queues, phase, io));
  }
  return absl::OkStatus();
}

absl::Status TcpTransport::Advance(Queues& queues, bool& moved) {
  for (int peer = 0; peer < size_; ++peer) {
    if (links_[peer] != nullptr && queues.Needs(peer))
      RETURN_IF_ERROR(AdvanceLink(*links_[peer], queues, moved));
  }
  return absl::OkStatus();
}

absl::Status TcpTransport::AdvanceLink(TcpLink& link, Queues& queues, bool& moved) {
  auto& out = queues.out[link.peer()];
  auto& in = queues.in[link.peer()];
  while (!out.empty()) {
    if (!link.sending()) {
      const Outgoing& send = *out.front();
      link.StartSend(FrameKind::kMessage, send.descriptor, send.data, send.size_bytes);
    }
    ASSIGN_OR_RETURN(const bool some, link.AdvanceSend());
    moved = moved || some;
    if (link.sending()) break;
    out.pop_front();
    --queues.left;
  }
  // Heard even where nothing is expected: a peer that fails says so to everyone.
  do {
    bool done = false;
    ASSIGN_OR_RETURN(const bool some, link.AdvanceRecv(in.empty() ? nullptr : in.front(), done));
    moved = moved || some;
    if (!done) break;
    in.pop_front();
    --queues.left;
  } while (!in.empty());
  return absl::OkStatus();
}

absl::Status TcpTransport::AwaitSomething(Queues& queues, const char* phase,
                                          std::unique_lock<std::mutex>& io) {
  std::vector<pollfd> polled{{wake_.get(), POLLIN, 0}, {interrupt_.get(), POLLIN, 0}};
  std::vector<int> peers;
  for (int peer = 0; peer < size_; ++peer) {
    const TcpLink* link = links_[peer].get();
    if (link == nullptr || link->closed()) continue;
    const bool unwanted = queues.in[peer].empty() && link->holding();
    const short events = (unwanted ? 0 : POLLIN) | (queues.out[peer].empty() ? 0 : POLLOUT);
    if (events == 0) continue;
    polled.push_back({link->fd(), events, 0});
    peers.push_back(peer);
  }
  const int left_ms = static_cast<int>(
      std::min<int64_t>(absl::ToInt64Milliseconds(context_->clock.deadline().Left()) + 1, kLookMs));
  io.unlock();
  const int polls = poll(polled.data(), polled.size(), left_ms);
  const int error = errno;
  io.lock();
  if (polls < 0 && error != EINTR) return PeerError(ErrnoText("poll", error));
  if (interrupted_.load(std::memory_order_acquire)) return Interruption();
  if (polled[0].revents != 0) AdoptCallers();
  // Peers of this exchange are read by Advance; of the others only bad news is of interest.
  for (size_t i = 0; i < peers.size(); ++i) {
    if (polled[i + 2].revents == 0 || queues.Needs(peers[i])) continue;
    bool done;
    const auto heard = links_[peers[i]]->AdvanceRecv(nullptr, done);
    if (!heard.ok()) return Annotate(heard.status(), absl::StrCat("phase '", phase, "'"));
  }
  HearPulses();
  ProbeAwaited(queues);
  return WaitIsOver(context_->clock, liveness_) ? DeadlinePassed(queues, phase) : absl::OkStatus();
}

void TcpTransport::ProbeAwaited(Queues& queues) {
  if (queues.probed || 2 * context_->clock.Waited() < context_->clock.allowed()) return;
  queues.probed = true;
  for (int peer = 0; peer < size_; ++peer) {
    TcpLink* const link = links_[peer].get();
    if (link == nullptr || link->closed() || link->sending() || !queues.Needs(peer)) continue;
    link->StartPulse(OwnPulse());
    link->AdvanceSend().IgnoreError();  // what is wrong with it shows in Advance
  }
}

std::string TcpTransport::DescribePeer(int peer) const {
  if (links_[peer] == nullptr) return "it has not called";
  const absl::Duration unanswered = links_[peer]->Unanswered();
  if (unanswered > absl::ZeroDuration()) {
    return absl::StrCat("its machine has acknowledged nothing for ", absl::FormatDuration(unanswered),
                        ": it is down, or the network between is");
  }
  return DescribeProgress(links_[peer]->noted(), liveness_.newest(), context_->clock.allowed());
}

// The likeliest culprit comes first: who is out of reach, before who has stood still for longest.
absl::Status TcpTransport::DeadlinePassed(const Queues& queues, const char* phase) const {
  const auto suspicion = [&](int peer) {
    const TcpLink* const link = links_[peer].get();
    const bool reached = link != nullptr && link->Unanswered() == absl::ZeroDuration();
    return std::tuple(reached, link == nullptr ? 0 : link->noted(), peer);
  };
  std::vector<std::tuple<bool, int64_t, int>> awaited;
  for (int peer = 0; peer < size_; ++peer) {
    if (queues.Needs(peer)) awaited.push_back(suspicion(peer));
  }
  std::sort(awaited.begin(), awaited.end());
  const auto name = [](std::string* text, const auto& entry) { absl::StrAppend(text, std::get<2>(entry)); };
  const int worst = std::get<2>(awaited.front());
  std::vector<int> culprits;
  for (const auto& entry : awaited) culprits.push_back(std::get<2>(entry));
  return WithCulprits(DeadlineError(absl::StrCat("phase '", phase, "' was not done within ",
                                                 absl::FormatDuration(context_->clock.allowed()),
                                                 "; still awaited: rank ", absl::StrJoin(awaited, ", ", name),
                                                 "; of rank ", worst, " is known: ", DescribePeer(worst))),
                      culprits);
}

void TcpTransport::NoteProgress() {
  liveness_.Note();
  if (!pulsing_.load(std::memory_order_relaxed)) StartPulses();
}

void TcpTransport::StartPulses() {
  std::lock_guard<std::mutex> lock(pulse_mutex_);
  if (pulse_stopped_ || pulsing_.exchange(true)) return;
  pulse_ = std::thread(&TcpTransport::PulseLoop, this);
}

void TcpTransport::StopPulses() {
  {
    std::lock_guard<std::mutex> lock(pulse_mutex_);
    pulse_stopped_ = true;
  }
  pulse_stops_.notify_all();
  if (pulse_.joinable()) pulse_.join();
}

void TcpTransport::PulseLoop() {
  NameThread("lockstep-pulse");
  std::unique_lock<std::mutex> lock(pulse_mutex_);
  while (!pulse_stops_.wait_for(lock, kPulsePeriod, [this] { return pulse_stopped_; })) {
    lock.unlock();
    {
      std::lock_guard<std::mutex> io(io_);
      HearPulses();
      SendPulses();
    }
    lock.lock();
  }
}

void TcpTransport::HearPulses() {
  for (const auto& link : links_) {
    if (link != nullptr) liveness_.Hear(link->newest());
  }
  // Who hears of others hands it on.
  if (liveness_.newest() != 0 && !pulsing_.load(std::memory_order_relaxed)) StartPulses();
}

Pulse TcpTransport::OwnPulse() const {
  const int64_t now = MonotonicNanoseconds(), noted = liveness_.noted(), newest = liveness_.newest();
  return {liveness_.count(), noted == 0 ? -1 : std::max<int64_t>(now - noted, 0),
          newest == 0 ? -1 : std::max<int64_t>(now - newest, 0)};
}

// Only news: ranks that all wait are silent.
void TcpTransport::SendPulses() {
  const int64_t newest = liveness_.newest();
  const Pulse pulse = OwnPulse();
  for (int peer = 0; peer < size_; ++peer) {
    TcpLink* const link = links_[peer].get();
    if (link == nullptr || link->closed() || link->sending()) continue;
    if (newest > told_[peer]) {
      link->StartPulse(pulse);
      told_[peer] = newest;
    }
    link->AdvanceSend().IgnoreError();  // what is wrong with a link is heard by who needs it
  }
}

absl::Status TcpTransport::Interruption() {
  std::lock_guard<std::mutex> lock(mutex_);
  return reason_.ok() ? PeerError("interrupted") : reason_;
}

void TcpTransport::Interrupt(const absl::Status& reason) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    reason_ = reason;
  }
  interrupted_.store(true, std::memory_order_release);
  Signal(interrupt_);
}

// Completes or voids the frames in the making, then sends every connected peer the reason.
void TcpTransport::ReportFailure(const absl::Status& reason) {
  StopPulses();
  FailureNote note{static_cast<int32_t>(TroubleOf(reason)), static_cast<int32_t>(reason.code())};
  std::string payload(reinterpret_cast<const char*>(&note), sizeof note);
  absl::StrAppend(&payload, reason.message().substr(0, kMaxFailureBytes - sizeof note));
  std::set<TcpLink*> voiding, telling;
  for (const auto& link : links_) {
    if (link == nullptr || link->closed()) continue;
    link->VoidSend();
    voiding.insert(link.get());
  }
  const Deadline deadline = Deadline::After(kReportTime);
  while ((!voiding.empty() || !telling.empty()) && !deadline.Passed()) {
    std::vector<pollfd> polled;
    for (auto* links : {&voiding, &telling}) {
      for (auto it = links->begin(); it != links->end();) {
        TcpLink* link = *it;
        const bool broken = !link->AdvanceSend().ok();
        if (!broken && link->sending()) {
          polled.push_back({link->fd(), POLLOUT, 0});
          ++it;
          continue;
        }
        it = links->erase(it);
        if (broken || links == &telling) continue;
        link->StartSend(FrameKind::kFailure, {}, payload.data(), payload.size());
        telling.insert(link);
      }
    }
    if (!polled.empty()) poll(polled.data(), polled.size(), 20);
  }
}

}  // namespace lockstep::comm
