#include "comm/shm/group.h"

#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "comm/shm/cross_memory.h"
#include "comm/shm/futex.h"
#include "comm/shm/processor.h"

namespace lockstep::comm {
namespace {

constexpr long kNapNanoseconds = 10'000'000;  // between looks at the peers' health

static_assert(sizeof(cpu_set_t) == sizeof Control::cores);

bool Reached(uint32_t phase, uint32_t target) { return static_cast<int32_t>(phase - target) >= 0; }

}  // namespace

void InitControl(Arena& arena) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  sched_getaffinity(0, sizeof mask, &mask);
  auto* const control = reinterpret_cast<Control*>(arena.data());
  std::memcpy(control->cores, &mask, sizeof mask);
  control->pid = getpid();
  control->mapped = reinterpret_cast<uintptr_t>(arena.data());
  if (getrandom(&control->nonce, sizeof control->nonce, GRND_NONBLOCK) != sizeof control->nonce) {
    control->nonce = 0;  // nobody will find us, then
  }
}

ShmGroup::ShmGroup(int rank, std::shared_ptr<Arena> arena, std::vector<ShmLink> links, std::vector<int> names)
    : rank_(rank),
      size_(static_cast<int>(links.size())),
      arena_(std::move(arena)),
      links_(std::move(links)),
      names_(std::move(names)),
      mine_(reinterpret_cast<Control*>(arena_->data())) {
  for (int peer = 0; peer < size_; ++peer) {
    bases_.push_back(peer == rank_ ? arena_->data() : links_[peer].mapping.data());
    controls_.push_back(reinterpret_cast<const Control*>(bases_[peer]));
  }
  liveness_.PublishIn(&mine_->progress);
  patient_spins_ = size_ <= CoresOfAll() ? kSpinsAlone : kSpinsCrowded;
  hasty_spins_ = std::min(patient_spins_, kSpinsBackground);
  crosses_ = CanCross();
}

// A pid means another process, or none, in another container.
bool ShmGroup::CanCross() const {
  for (const Control* theirs : controls_) {
    uint64_t nonce = 0;
    const uint64_t address = theirs->mapped + offsetof(Control, nonce);
    if (!ReadOfProcess(theirs->pid, address, &nonce, sizeof nonce) || nonce != theirs->nonce || nonce == 0)
      return false;
  }
  return true;
}

// Launchers bind ranks to cores of their own, so one rank's mask does not tell.
int ShmGroup::CoresOfAll() const {
  cpu_set_t all;
  CPU_ZERO(&all);
  for (const Control* control : controls_) {
    cpu_set_t theirs;
    std::memcpy(&theirs, control->cores, sizeof theirs);
    CPU_OR(&all, &all, &theirs);
  }
  return CPU_COUNT(&all);
}

ShmGroup::~ShmGroup() {
  uint32_t joined = Control::kJoined;
  mine_->state.compare_exchange_strong(joined, Control::kLeft);
  WakeAll();
}

std::byte* ShmGroup::At(int peer, uint64_t offset, uint64_t bytes) const {
  const uint64_t size = peer == rank_ ? UINT64_MAX : links_[peer].mapping.size_bytes();
  if (offset > size || bytes > size - offset) return nullptr;
  return bases_[peer] + offset;
}

void ShmGroup::CpuPause() { CpuRelax(); }
void ShmGroup::Yield() { sched_yield(); }
void ShmGroup::SleepOn(const std::atomic<uint32_t>& word, uint32_t seen) {
  FutexWait(word, seen, kNapNanoseconds);
}

void ShmGroup::Enter(RunContext& context) {
  context_ = &context;
  spins_ = context.background ? hasty_spins_ : patient_spins_;
  yields_ = crowded() && !context.background ? kYieldsCrowded : 0;
}

void ShmGroup::WakeSleepers(const std::atomic<uint32_t>& word) {
  for (int peer = 0; peer < size_; ++peer) {
    if (peer != rank_ && control(peer).sleeping.load(std::memory_order_seq_cst) != 0) {
      FutexWakeAll(word);
      return;
    }
  }
}

void ShmGroup::WakeAll() {
  for (const Greeting& greeting : mine_->greetings) FutexWakeAll(greeting.phase);
  FutexWakeAll(mine_->phase);
  FutexWakeAll(mine_->events);
}

void ShmGroup::Arrive() {
  mine_->phase.store(++phase_, std::memory_order_seq_cst);  // also a release of all written before
  WakeSleepers(mine_->phase);
}

absl::Status ShmGroup::AwaitWord(int peer, const std::atomic<uint32_t>& word, uint32_t target,
                                 const char* phase) {
  const auto ready = [&] { return Reached(word.load(std::memory_order_acquire), target); };
  if (Spin(ready)) return absl::OkStatus();
  return SleepUntil(peer, word, phase, ready);
}

absl::Status ShmGroup::Await(const char* phase, uint32_t behind) {
  for (int k = 1; k < size_; ++k) {
    const int peer = (rank_ + k) % size_;
    RETURN_IF_ERROR(AwaitWord(peer, control(peer).phase, phase_ - behind, phase));
  }
  return absl::OkStatus();
}

bool ShmGroup::AllGreet(int parity, int looks) const {
  for (int k = 1; k < size_; ++k) {
    const std::atomic<uint32_t>& word = control((rank_ + k) % size_).greetings[parity].phase;
    while (!Reached(word.load(std::memory_order_acquire), phase_)) {
      if (--looks < 0) return false;
    }
  }
  return true;
}

absl::Status ShmGroup::Begin(const CallDescriptor& descriptor) {
  ++calls_;
  const int parity = Parity();
  Greeting& mine = mine_->greetings[parity];
  mine.descriptor = descriptor;
  mine.phase.store(++phase_, std::memory_order_release);
  // As a rule all ranks have a core and come at once; then nobody sleeps, and the fence, which waits until
  // all stores have left this core, is better after the others' greetings than before.
  const bool all = AllGreet(parity, crowded() ? 0 : kLooksBeforeWaking);
  FullFence();
  WakeSleepers(mine.phase);
  for (int k = 1; k < size_ && !all; ++k) {
    const int peer = (rank_ + k) % size_;
    RETURN_IF_ERROR(AwaitWord(peer, control(peer).greetings[parity].phase, phase_, "arrive"));
  }
  for (int k = 1; k < size_; ++k) {
    const int peer = (rank_ + k) % size_;
    const CallDescriptor& theirs = control(peer).greetings[parity].descriptor;
    if (!(theirs == descriptor)) return MismatchError(NameOf(rank_), descriptor, NameOf(peer), theirs);
  }
  // Nobody reads what was shown in the collective before any more.
  PrefetchToWrite(&mine_->greetings[NextParity()]);
  return absl::OkStatus();
}

void ShmGroup::PostEvent() {
  mine_->events.fetch_add(1, std::memory_order_seq_cst);
  WakeSleepers(mine_->events);
}

std::string ShmGroup::DescribeAwaited(int awaited) const {
  if (awaited < 0) return "nobody is awaited";
  std::string text;
  std::vector<bool> seen(size_);
  seen[rank_] = seen[awaited] = true;
  while (true) {
    const int next = control(awaited).awaits.load(std::memory_order_relaxed) - 1;
    if (next < 0 || next >= size_ || seen[next]) break;
    seen[next] = true;
    absl::StrAppend(&text, "it waits for rank ", NameOf(next), "; of rank ", NameOf(next), " is known: ");
    awaited = next;
  }
  const int64_t noted = control(awaited).progress.noted.load(std::memory_order_relaxed);
  return text + DescribeProgress(noted, liveness_.newest(), context_->clock.allowed());
}

absl::Status ShmGroup::CheckHealth(int awaited, const char* phase) {
  if (interrupted_.load(std::memory_order_acquire)) {
    std::lock_guard<std::mutex> lock(mutex_);
    return reason_;
  }
  std::vector<pollfd> polled;
  for (const ShmLink& link : links_) polled.push_back({link.socket.get(), POLLIN | POLLRDHUP, 0});
  poll(polled.data(), polled.size(), 0);
  // First those who say why, then those who died without a word.
  for (int peer = 0; peer < size_; ++peer) {
    const Control& theirs = control(peer);
    if (peer == rank_ || theirs.state.load(std::memory_order_acquire) != Control::kFailed) continue;
    const FailureRecord& failure = theirs.failure;
    const size_t length = std::min<size_t>(failure.length, sizeof failure.text);
    return StatusOfTrouble(
        failure.trouble, failure.code,
        absl::StrCat("rank ", NameOf(peer), " reports: ", absl::string_view(failure.text, length)));
  }
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_ || polled[peer].revents == 0) continue;
    if (control(peer).state.load(std::memory_order_acquire) == Control::kJoined) {
      return PeerError(
          absl::StrCat("rank ", NameOf(peer), " died (its process ended) in phase '", phase, "'"));
    }
  }
  if (awaited >= 0 && control(awaited).state.load(std::memory_order_acquire) == Control::kLeft) {
    return PeerError(absl::StrCat("rank ", NameOf(awaited),
                                  " closed its communicator; still awaited in phase '", phase, "'"));
  }
  for (const Control* control : controls_) {
    liveness_.Hear(control->progress.newest.load(std::memory_order_relaxed));
  }
  if (context_ != nullptr && WaitIsOver(context_->clock, liveness_)) {
    return DeadlineError(absl::StrCat("rank ", NameOf(awaited), " did not come to phase '", phase,
                                      "' within ", absl::FormatDuration(context_->clock.allowed()), "; ",
                                      DescribeAwaited(awaited)));
  }
  return absl::OkStatus();
}

void ShmGroup::Interrupt(const absl::Status& reason) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    reason_ = reason;
  }
  interrupted_.store(true, std::memory_order_release);
  // The own waiter sleeps on some peer's word; anyone else whom this wakes looks again and sleeps on.
  for (const Control* control : controls_) {
    for (const Greeting& greeting : control->greetings) FutexWakeAll(greeting.phase);
    FutexWakeAll(control->phase);
    FutexWakeAll(control->events);
  }
}

void ShmGroup::ReportFailure(const absl::Status& reason) {
  FailureRecord& failure = mine_->failure;
  failure.trouble = static_cast<int32_t>(TroubleOf(reason));
  failure.code = static_cast<int32_t>(reason.code());
  const absl::string_view text = reason.message().substr(0, sizeof failure.text);
  std::memcpy(failure.text, text.data(), text.size());
  failure.length = static_cast<uint32_t>(text.size());
  mine_->state.store(Control::kFailed, std::memory_order_release);
  WakeAll();
}

}  // namespace lockstep::comm
