// What a rank publishes at the head of its arena. Only its owner writes it; peers map it read-only. All words
// that change while others look are atomics; everything else is ordered by `phase`.
#ifndef LOCKSTEP_COMM_SHM_CONTROL_H_
#define LOCKSTEP_COMM_SHM_CONTROL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "comm/call.h"
#include "comm/liveness.h"
#include "runtime/core/aligned_buffer.h"

namespace lockstep::comm {

inline constexpr int kMaxShmRanks = 256;      // of one machine
inline constexpr int kMaxParts = 62;          // of one rank: 2 log2 L, for any L that fits an int
inline constexpr size_t kGreetingBytes = 16;  // of one rank's inputs, beside its greeting
inline constexpr size_t kOneShotBytes = size_t{256} << 10;  // of one rank's inputs, staged
inline constexpr size_t kStageBytes = size_t{1} << 20;  // of one rank's inputs or results, staged by pieces
inline constexpr size_t kMessageBytes = size_t{64} << 10;  // a piece of a message between two ranks

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

// What a rank shows as it enters a collective: one line, so that one transfer between cores tells a peer that
// the rank came, what it calls, and, of the smallest reductions, its inputs. Two of them, by parity of the
// collective: a rank that is one collective ahead must not overwrite what a slower one still reads.
struct alignas(64) Greeting {
  std::atomic<uint32_t> phase;  // as Control::phase; a futex
  uint32_t unused;
  CallDescriptor descriptor;
  std::byte payload[kGreetingBytes];
};
static_assert(sizeof(Greeting) == 64);

// Where a rank's data of that collective is, for collectives that do not stage it all. Two, likewise.
struct alignas(64) CallSlot {
  uint32_t inputs_direct;  // 1: inputs are in the arena, at `offsets`; 0: at these addresses of the owner
  uint32_t result_direct;  // 1: the result is, at offset `result`; 0: at that address
  uint32_t crosses;        // 1: the owner can read its peers' ordinary memory
  uint32_t staged;         // 1: the inputs, or the first piece of them, are staged already
  uint64_t result;
  uint64_t offsets[kMaxParts];
};

// Messages to one peer: the sender counts pieces posted (on its page), the receiver pieces taken (on its
// own).
struct alignas(64) PairSlot {
  std::atomic<uint32_t> posted;
  std::atomic<uint32_t> taken;
  CallDescriptor descriptors[2];  // of the message that piece i % 2 belongs to
  uint64_t bytes[2];              // of the piece
};

struct FailureRecord {
  int32_t trouble;
  int32_t code;
  uint32_t length;
  char text[1500];
};

struct Control {
  enum State : uint32_t { kJoined = 0, kFailed = 1, kLeft = 2 };

  // What everyone spins on: the first barrier of a collective is shown by its greeting, the others here.
  Greeting greetings[2];
  alignas(64) std::atomic<uint32_t> phase;  // barriers arrived at; a futex
  // The owner is about to sleep on some word of some peer: whoever changes a word must then wake.
  alignas(64) std::atomic<uint32_t> sleeping;
  std::atomic<uint32_t> state;
  std::atomic<uint32_t> events;  // changes of `pairs`; a futex
  std::atomic<int32_t> awaits;   // 1 + the rank that the owner sleeps for; 0: it does not
  alignas(64) ProgressWords progress;
  // Written before the ranks connect: the owner's process, where that has mapped this page, and what a peer
  // must find there to know that it reads the owner.
  int32_t pid;
  uint64_t mapped, nonce;
  uint64_t cores[16];  // that the owner may run on, as bits; written before the ranks connect
  CallSlot slots[2];
  alignas(64) FailureRecord failure;  // valid once state is kFailed
  alignas(64) PairSlot pairs[kMaxShmRanks];
};

// Offsets of the areas in every arena, each twice by parity.
inline constexpr size_t kOneShotOffset = RoundUp(sizeof(Control), 4096);
inline constexpr size_t kStageInOffset = kOneShotOffset + 2 * kOneShotBytes;
inline constexpr size_t kStageOutOffset = kStageInOffset + 2 * kStageBytes;
inline constexpr size_t kMessagesOffset = kStageOutOffset + 2 * kStageBytes;
constexpr size_t MessageOffset(int peer, uint32_t piece) {
  return kMessagesOffset + (size_t{2} * peer + piece % 2) * kMessageBytes;
}
constexpr size_t HeadBytes(int size) { return MessageOffset(size, 0); }

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_SHM_CONTROL_H_
