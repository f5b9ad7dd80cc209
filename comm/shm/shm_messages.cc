// Messages between two ranks over shared memory: the sender copies pieces into two slots on its side, the
// receiver takes them. Serves send/recv and the ring.
#include <algorithm>

#include "comm/shm/shm_engine.h"

namespace lockstep::comm {

// How far one message has come.
struct ShmEngine::Progress {
  size_t moved_bytes = 0;
  bool done = false;
};

// Copies the next piece in, if a slot is free. True when it did.
bool ShmEngine::Post(const Outgoing& send, Progress& progress) {
  const uint32_t taken = group_.control(send.to).pairs[rank()].taken.load(std::memory_order_acquire);
  uint32_t& posted = posted_[send.to];
  if (posted - taken >= 2) return false;
  const size_t n = std::min(kMessageBytes, send.size_bytes - progress.moved_bytes);
  PairSlot& pair = group_.mine().pairs[send.to];
  if (n > 0) {
    CopyBytes(group_.At(rank(), MessageOffset(send.to, posted), n),
              static_cast<const std::byte*>(send.data) + progress.moved_bytes, n);
  }
  pair.descriptors[posted % 2] = send.descriptor;
  pair.bytes[posted % 2] = n;
  pair.posted.store(++posted, std::memory_order_release);
  group_.PostEvent();
  progress.moved_bytes += n;
  progress.done = progress.moved_bytes == send.size_bytes;
  return true;
}

absl::StatusOr<bool> ShmEngine::Take(const Incoming& recv, Progress& progress) {
  const PairSlot& pair = group_.control(recv.from).pairs[rank()];
  uint32_t& taken = taken_[recv.from];
  if (pair.posted.load(std::memory_order_acquire) == taken) return false;
  const size_t n = pair.bytes[taken % 2];
  if (!(pair.descriptors[taken % 2] == recv.descriptor) ||
      n != std::min(kMessageBytes, recv.size_bytes - progress.moved_bytes)) {
    return MismatchError(group_.NameOf(rank()), recv.descriptor, group_.NameOf(recv.from),
                         pair.descriptors[taken % 2]);
  }
  if (n > 0) {
    CopyBytes(static_cast<std::byte*>(recv.data) + progress.moved_bytes,
              group_.At(recv.from, MessageOffset(rank(), taken), n), n);
  }
  group_.mine().pairs[recv.from].taken.store(++taken, std::memory_order_release);
  group_.PostEvent();
  progress.moved_bytes += n;
  progress.done = progress.moved_bytes == recv.size_bytes;
  return true;
}

absl::Status ShmEngine::Exchange(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                                 const char* phase) {
  std::vector<Progress> sent(sends.size()), received(recvs.size());
  while (true) {
    bool moved = false;
    int awaited = -1;  // the first peer that something is still to come from or go to
    std::vector<bool> blocked_to(size()), blocked_from(size());  // messages with one peer keep their order
    for (size_t i = 0; i < recvs.size(); ++i) {
      if (received[i].done || blocked_from[recvs[i].from]) continue;
      ASSIGN_OR_RETURN(const bool took, Take(recvs[i], received[i]));
      moved = moved || took;
      if (received[i].done) continue;
      blocked_from[recvs[i].from] = true;
      if (awaited < 0) awaited = recvs[i].from;
    }
    for (size_t i = 0; i < sends.size(); ++i) {
      if (sent[i].done || blocked_to[sends[i].to]) continue;
      moved = Post(sends[i], sent[i]) || moved;
      if (sent[i].done) continue;
      blocked_to[sends[i].to] = true;
      if (awaited < 0) awaited = sends[i].to;
    }
    if (awaited < 0) break;
    if (moved) continue;
    // The peer's count of events moves whenever it posts or takes; another peer's is looked at after a nap at
    // most.
    const uint32_t seen = group_.control(awaited).events.load(std::memory_order_acquire);
    const auto changed = [&] {
      if (group_.control(awaited).events.load(std::memory_order_acquire) != seen) return true;
      for (size_t i = 0; i < recvs.size(); ++i) {
        const uint32_t posted =
            group_.control(recvs[i].from).pairs[rank()].posted.load(std::memory_order_acquire);
        if (!received[i].done && posted != taken_[recvs[i].from]) return true;
      }
      for (size_t i = 0; i < sends.size(); ++i) {
        const uint32_t taken =
            group_.control(sends[i].to).pairs[rank()].taken.load(std::memory_order_acquire);
        if (!sent[i].done && posted_[sends[i].to] - taken < 2) return true;
      }
      return false;
    };
    RETURN_IF_ERROR(group_.AwaitEvents(awaited, phase, changed));
    RETURN_IF_ERROR(group_.Reach("comm.exchange"));
  }
  // A send is complete when the receiver has it all: its slots are then free, and the caller knows it
  // arrived.
  for (const Outgoing& send : sends) {
    const auto& taken = group_.control(send.to).pairs[rank()].taken;
    RETURN_IF_ERROR(group_.AwaitEvents(
        send.to, phase, [&] { return taken.load(std::memory_order_acquire) == posted_[send.to]; }));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::comm
