// How the connections of a rank come to be, and what ends its waits.
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "comm/culprits.h"
#include "comm/tcp/tcp_transport.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {
namespace {

constexpr int kLookMs = 100;  // between looks at the deadline

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

absl::Status TcpTransport::Listen(const std::string& address) {
  ASSIGN_OR_RETURN(listener_, TcpListener::Make(address, self_, size_, [this] { Signal(wake_); }));
  return absl::OkStatus();
}

// How the calls to all lower ranks go, each on a thread of its own.
struct TcpTransport::Calls {
  std::mutex mutex;
  int left = 0;
  absl::Status failure;         // the first, of a call that was turned down
  absl::Status silence;         // the last, of a call that was not answered
  std::vector<int> unanswered;  // by the deadline

  void End(int peer, const absl::Status& status) {
    std::lock_guard<std::mutex> lock(mutex);
    --left;
    if (absl::IsDeadlineExceeded(status)) {
      unanswered.push_back(peer);
      silence = status;
    } else if (failure.ok()) {
      failure = status;
    }
  }
};

absl::Status TcpTransport::ConnectAll(Deadline deadline, const std::function<absl::Status()>& health) {
  // All at once, so that a rank that nobody reaches keeps no two others apart.
  Calls calls;
  calls.left = self_.rank;
  std::vector<std::thread> threads;
  for (int peer = 0; peer < self_.rank; ++peer) {
    threads.emplace_back([this, &calls, peer, deadline] {
      NameThread("lockstep-call");
      absl::Status status = Connect(peer, deadline);
      // Where there is no way now, one may come back.
      pollfd interrupted{interrupt_.get(), POLLIN, 0};
      while (absl::IsDeadlineExceeded(status) && !deadline.Passed() && poll(&interrupted, 1, kLookMs) == 0) {
        status = Connect(peer, deadline);
      }
      calls.End(peer, status);
      Signal(wake_);
    });
  }
  const absl::Status status = AwaitAll(calls, deadline, health);
  if (!status.ok()) Signal(interrupt_);  // nothing will run over this transport
  for (std::thread& thread : threads) thread.join();
  return status;
}

absl::Status TcpTransport::AwaitAll(Calls& calls, Deadline deadline,
                                    const std::function<absl::Status()>& health) {
  while (true) {
    AdoptCallers();
    std::vector<int> silent;
    for (int peer = self_.rank + 1; peer < size_; ++peer) {
      if (links_[peer] == nullptr) silent.push_back(peer);
    }
    {
      std::lock_guard<std::mutex> lock(calls.mutex);
      RETURN_IF_ERROR(calls.failure);
      if (calls.left == 0 && silent.empty() && calls.unanswered.empty()) return absl::OkStatus();
      if (calls.left == 0 && deadline.Passed()) {
        const absl::Status failure =
            !calls.unanswered.empty()
                ? calls.silence
                : DeadlineError(absl::StrCat("these ranks did not call before the deadline: ",
                                             absl::StrJoin(silent, ", ")));
        silent.insert(silent.end(), calls.unanswered.begin(), calls.unanswered.end());
        return WithCulprits(failure, silent);
      }
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
  return Annotate(status, absl::StrCat("connecting to rank ", peer, " at ", endpoints_[peer]));
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

}  // namespace lockstep::comm
