#include "comm/tcp/tcp_transport.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_join.h"
#include "comm/culprits.h"
#include "comm/tcp/spinning.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {
namespace {

constexpr absl::Duration kReportTime = absl::Milliseconds(500);
constexpr int kLookMs = 100;  // between looks at the deadline
constexpr auto kPulsePeriod = std::chrono::milliseconds(500);

// Messages of one peer that are still to do, in order. Most often there is one.
template <typename Message>
class Line {
 public:
  bool empty() const { return done_ == messages_.size(); }
  const Message* front() const { return messages_[done_]; }
  void push_back(const Message* message) { messages_.push_back(message); }
  void pop_front() { ++done_; }

 private:
  absl::InlinedVector<const Message*, 2> messages_;
  size_t done_ = 0;
};

}  // namespace

// What is still to do, for each peer in order.
struct TcpTransport::Queues {
  std::vector<Line<Outgoing>> out;
  std::vector<Line<Incoming>> in;
  size_t left = 0;  // messages not complete
  int probes = 0;

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
  Spinning spinning(!context_->background);
  std::unique_lock<std::mutex> io(io_);
  awaits_ = -1;
  while (queues.left > 0) {
    bool moved = false;
    const absl::Status status = Advance(queues, moved);
    if (!status.ok()) return Annotate(status, absl::StrCat("phase '", phase, "'"));
    if (moved) {
      spinning.Stop();
    } else if (!spinning.Once()) {
      RETURN_IF_ERROR(AwaitSomething(queues, phase, io));
    }
  }
  awaits_ = -1;
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
  // At a half and at three quarters of the time: ranks do not begin to wait at the same moment.
  if (queues.probes == 2 || 4 * context_->clock.Waited() < (2 + queues.probes) * context_->clock.allowed()) {
    return;
  }
  ++queues.probes;
  awaits_ = Awaited(queues).front();
  for (int peer = 0; peer < size_; ++peer) {
    TcpLink* const link = links_[peer].get();
    if (link == nullptr || link->closed() || link->sending()) continue;
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

bool TcpTransport::Reached(int peer) const {
  return links_[peer] != nullptr && links_[peer]->Unanswered() == absl::ZeroDuration();
}

// Who is out of reach comes before who has stood still for longest.
std::vector<int> TcpTransport::Awaited(const Queues& queues) const {
  std::vector<std::tuple<bool, int64_t, int>> suspects;
  for (int peer = 0; peer < size_; ++peer) {
    if (!queues.Needs(peer)) continue;
    suspects.emplace_back(Reached(peer), links_[peer] == nullptr ? 0 : links_[peer]->noted(), peer);
  }
  std::sort(suspects.begin(), suspects.end());
  std::vector<int> awaited;
  for (const auto& suspect : suspects) awaited.push_back(std::get<2>(suspect));
  return awaited;
}

int TcpTransport::AwaitedBy(int peer) const {
  const TcpLink* const link = links_[peer].get();
  if (link == nullptr || link->awaits() < 0 || link->awaits() >= size_) return -1;
  const int64_t waited = absl::ToInt64Nanoseconds(context_->clock.Waited());
  return MonotonicNanoseconds() - link->awaits_told() <= waited ? static_cast<int>(link->awaits()) : -1;
}

absl::Status TcpTransport::DeadlinePassed(const Queues& queues, const char* phase) const {
  const std::vector<int> awaited = Awaited(queues);
  std::vector<int> culprits;
  for (const int peer : awaited) {
    if (!Reached(peer)) culprits.push_back(peer);
  }
  // Who is awaited may itself wait: the last of these is the one to look at.
  int last = awaited.front();
  std::string known = absl::StrCat("; of rank ", last, " is known: ");
  std::set<int> seen{self_.rank, last};
  for (int next = AwaitedBy(last); next >= 0 && seen.insert(next).second; next = AwaitedBy(last)) {
    absl::StrAppend(&known, "it waits for rank ", next, "; of rank ", next, " is known: ");
    last = next;
  }
  return WithCulprits(
      DeadlineError(absl::StrCat("phase '", phase, "' was not done within ",
                                 absl::FormatDuration(context_->clock.allowed()), "; still awaited: rank ",
                                 absl::StrJoin(awaited, ", "), known, DescribePeer(last))),
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
          newest == 0 ? -1 : std::max<int64_t>(now - newest, 0), awaits_};
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
