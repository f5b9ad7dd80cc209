#include "runtime/core/mapping_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>

namespace lockstep {

// One announced mapping. Slots are never freed, since a handler may look at them at any time; they are used
// again. The list is the one thing in this process that is global: a signal handler can be handed nothing.
struct MappingSlot {
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<bool> taken{false}, lost{false};
  MappingSlot* next = nullptr;
};

namespace {

std::atomic<MappingSlot*> slots{nullptr};
struct sigaction before;
size_t page_bytes = 4096;

MappingSlot* TakeSlot() {
  for (MappingSlot* slot = slots.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    bool taken = false;
    if (slot->taken.compare_exchange_strong(taken, true)) return slot;
  }
  auto* slot = new MappingSlot;
  slot->taken = true;
  slot->next = slots.load(std::memory_order_relaxed);
  while (!slots.compare_exchange_weak(slot->next, slot, std::memory_order_release)) {
  }
  return slot;
}

// Only async-signal-safe calls. mmap is not on POSIX's list, but on Linux it is a bare system call.
void OnBusError(int signal, siginfo_t* info, void* context) {
  const auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  for (MappingSlot* slot = slots.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    if (at < slot->begin.load() || at >= slot->end.load()) continue;
    void* page = reinterpret_cast<void*>(at / page_bytes * page_bytes);
    slot->lost.store(true);
    if (::mmap(page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page) return;
    break;
  }
  if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
    before.sa_sigaction(signal, info, context);
    return;
  }
  ::sigaction(SIGBUS, &before, nullptr);  // the instruction faults again, and then as if we had not been here
}

}  // namespace

GuardedMapping::GuardedMapping(const void* begin, size_t size_bytes) : slot_(TakeSlot()) {
  const auto address = reinterpret_cast<uintptr_t>(begin);
  slot_->lost = false;
  slot_->begin = address;
  slot_->end = address + size_bytes;
}

GuardedMapping::~GuardedMapping() {
  if (slot_ == nullptr) return;
  slot_->end = 0;  // first: the range is empty from here on
  slot_->begin = 0;
  slot_->taken = false;
}

GuardedMapping::GuardedMapping(GuardedMapping&& other) noexcept
    : slot_(std::exchange(other.slot_, nullptr)) {}
GuardedMapping& GuardedMapping::operator=(GuardedMapping&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

bool GuardedMapping::lost() const { return slot_ != nullptr && slot_->lost.load(std::memory_order_relaxed); }

void InstallMappingGuard() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_bytes = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = OnBusError;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &before);
  });
}

}  // namespace lockstep
