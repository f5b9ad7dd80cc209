// The ranks of one machine and how they wait for each other: barriers, mismatch of calls, death, deadline,
// abort.
#ifndef LOCKSTEP_COMM_SHM_GROUP_H_
#define LOCKSTEP_COMM_SHM_GROUP_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "comm/engine.h"
#include "comm/shm/arena.h"
#include "comm/shm/control.h"
#include "comm/shm/links.h"

namespace lockstep::comm {

// Writes what peers need to know of this process into its own control page, before it is shown to them.
void InitControl(Arena& arena);

class ShmGroup {
 public:
  // `names`: what errors call each rank of the group, where it is part of a larger world; empty: its number
  // here.
  ShmGroup(int rank, std::shared_ptr<Arena> arena, std::vector<ShmLink> links, std::vector<int> names = {});
  ~ShmGroup();  // says goodbye

  int rank() const { return rank_; }
  int size() const { return size_; }
  int NameOf(int peer) const { return names_.empty() ? peer : names_[peer]; }
  // More ranks than cores, so that a waiting rank holds up the one it waits for. The same on all ranks.
  bool crowded() const { return patient_spins_ == kSpinsCrowded; }
  // Whether this rank can read its peers' ordinary memory, as ReadOfProcess does. Ranks may differ.
  bool crosses() const { return crosses_; }
  Arena& arena() { return *arena_; }
  Control& mine() { return *mine_; }
  const Control& control(int peer) const { return *controls_[peer]; }
  // `bytes` bytes at `offset` of the arena of `peer` (the own rank's too). Null when they are not inside it.
  std::byte* At(int peer, uint64_t offset, uint64_t bytes) const;

  // Starts a wait of this call. One call at a time.
  void Enter(RunContext& context);

  // Arrive says that this rank has come to the next barrier; Await waits until all have come to the barrier
  // that the caller arrived at `behind` arrivals ago. Memory written before Arrive is seen after Await.
  // `phase` names the work that peers are waited for, in errors.
  void Arrive();
  absl::Status Await(const char* phase, uint32_t behind = 0);
  absl::Status Barrier(const char* phase) {
    Arrive();
    return Await(phase);
  }
  // The first barrier of a collective: fails when a peer's descriptor is another. What was written before,
  // into the own payload or slot, is seen by all after it.
  absl::Status Begin(const CallDescriptor& descriptor);
  int Parity() const { return static_cast<int>(calls_ & 1); }  // of the collective begun last
  int NextParity() const { return 1 - Parity(); }
  // kGreetingBytes bytes that travel with the greeting: the own ones of the collective to come, and a rank's
  // of the one begun last.
  std::byte* NextPayload() { return mine_->greetings[NextParity()].payload; }
  const std::byte* PayloadOf(int peer) const { return control(peer).greetings[Parity()].payload; }
  CallSlot& NextSlot() { return mine_->slots[NextParity()]; }
  const CallSlot& SlotOf(int peer) const { return control(peer).slots[Parity()]; }

  // Waits until `peer` has changed its message words so that `ready()` holds.
  template <typename Ready>
  absl::Status AwaitEvents(int peer, const char* phase, const Ready& ready) {
    if (Spin(ready)) return absl::OkStatus();
    return SleepUntil(peer, control(peer).events, phase, ready);
  }
  void PostEvent();  // wakes peers that wait for a change of this rank's message words

  void NoteProgress() { liveness_.Note(); }
  void Interrupt(const absl::Status& reason);
  void ReportFailure(const absl::Status& reason);
  // Whether some peer failed, died, or left while `awaited` (-1: nobody) is needed; or the abort, or the
  // deadline.
  absl::Status CheckHealth(int awaited, const char* phase);

 private:
  // What is known of `awaited`, and of whom it waits for in turn.
  std::string DescribeAwaited(int awaited) const;
  static void CpuPause();
  static void Yield();
  int CoresOfAll() const;
  bool CanCross() const;
  void WakeSleepers(const std::atomic<uint32_t>& word);
  void WakeAll();
  absl::Status AwaitWord(int peer, const std::atomic<uint32_t>& word, uint32_t target, const char* phase);
  bool AllGreet(int parity, int looks) const;
  // Looks for a while, without sleeping, for what a peer is about to do. False: it takes longer.
  template <typename Ready>
  bool Spin(const Ready& ready) {
    for (int spin = 0; spin < spins_; ++spin) {
      if (ready()) return true;
      CpuPause();
    }
    for (int yield = 0; yield < yields_; ++yield) {
      if (ready()) return true;
      Yield();
    }
    return false;
  }
  template <typename Ready>
  absl::Status SleepUntil(int peer, const std::atomic<uint32_t>& word, const char* phase,
                          const Ready& ready) {
    mine_->awaits.store(1 + peer, std::memory_order_relaxed);  // stays when this fails: so it was
    while (!ready()) RETURN_IF_ERROR(Sleep(peer, word, phase, ready));
    mine_->awaits.store(0, std::memory_order_relaxed);
    return absl::OkStatus();
  }
  template <typename Ready>
  absl::Status Sleep(int peer, const std::atomic<uint32_t>& word, const char* phase, const Ready& ready) {
    const uint32_t seen = word.load(std::memory_order_acquire);
    // Sequentially consistent, like the change of the word and the look at `sleeping` of whoever changes it:
    // either that look finds us asleep, or the kernel finds the word changed and does not put us to sleep.
    mine_->sleeping.store(1, std::memory_order_seq_cst);
    const bool sleep = !ready();
    if (sleep) SleepOn(word, seen);
    mine_->sleeping.store(0, std::memory_order_relaxed);
    if (!sleep || ready()) return absl::OkStatus();
    const absl::Status health = CheckHealth(peer, phase);
    return ready() ? absl::OkStatus() : health;  // what came before a peer's end still counts
  }
  static void SleepOn(const std::atomic<uint32_t>& word, uint32_t seen);

  // How often a wait looks up a word before it sleeps. About 20 us where every rank can have a core; once
  // where ranks share cores, since the peer waited for may need this one; and little on the progress thread,
  // whose core belongs to the threads that compute. Where ranks share cores a wait then offers its core to
  // them for half a millisecond or more: changing to another process costs a quarter of sleeping and being
  // woken, and waking a core that went idle costs more than a call.
  static constexpr int kSpinsAlone = 2000, kSpinsCrowded = 1, kSpinsBackground = 200, kYieldsCrowded = 1000;
  // How often a rank looks whether all are there before it asks whether any sleeps, which takes a fence.
  static constexpr int kLooksBeforeWaking = 200;

  const int rank_, size_;
  const std::shared_ptr<Arena> arena_;
  const std::vector<ShmLink> links_;
  const std::vector<int> names_;
  Control* mine_;
  std::vector<const Control*> controls_;  // of all ranks
  std::vector<std::byte*> bases_;         // of all arenas; only the own one is writable
  int patient_spins_ = 0, hasty_spins_ = 0;
  bool crosses_ = false;

  Liveness liveness_;
  RunContext* context_ = nullptr;
  int spins_ = 0, yields_ = 0;
  uint32_t phase_ = 0;  // barriers that this rank arrived at
  uint64_t calls_ = 0;  // collectives begun

  std::atomic<bool> interrupted_{false};
  std::mutex mutex_;
  absl::Status reason_;  // of the interruption
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_SHM_GROUP_H_
