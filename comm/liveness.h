// How a long step is told from a hang: every rank shows when it last got on with its work, and hands on the
// newest such moment that it heard of any other rank. Who waits at its deadline goes on while anyone in the
// world still gets on, since whoever is awaited may itself wait for that one; once nobody does, the wait is a
// hang and fails.
#ifndef LOCKSTEP_COMM_LIVENESS_H_
#define LOCKSTEP_COMM_LIVENESS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "comm/engine.h"

namespace lockstep::comm {

// Moments are nanoseconds on the monotonic clock of the machine, which its processes share; 0 is never.
inline int64_t MonotonicNanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// What a rank shows.
struct ProgressWords {
  std::atomic<uint64_t> count{0};  // pieces of work done: operators of lanes, as a rule
  std::atomic<int64_t> noted{0};   // when the last of them was
  std::atomic<int64_t> newest{0};  // when the last was that this rank knows of, anywhere in the world
};
static_assert(std::atomic<int64_t>::is_always_lock_free);

// A rank's own. Thread-safe.
class Liveness {
 public:
  // From now on what is known is kept in `words`, which peers may read. Before anyone notes or hears.
  void PublishIn(ProgressWords* words) { words_ = words; }

  // This rank did a piece of work. Costs two atomics and a look at the clock.
  void Note();
  // A peer showed that somebody did one at `moment`; moments to come are taken for now.
  void Hear(int64_t moment);

  uint64_t count() const { return words_->count.load(std::memory_order_relaxed); }
  int64_t noted() const { return words_->noted.load(std::memory_order_relaxed); }
  int64_t newest() const { return words_->newest.load(std::memory_order_relaxed); }

 private:
  void Raise(int64_t moment);

  ProgressWords own_;
  ProgressWords* words_ = &own_;
};

// A wait that is extended ends at this many deadlines, whatever anyone does: a rank that works without end is
// a hang too.
inline constexpr int kLongestWaitDeadlines = 10;

// Whether a wait of the call with `clock` has failed: its deadline has passed, and nobody in the world got on
// with anything for as long; or it has lasted kLongestWaitDeadlines.
bool WaitIsOver(CallClock& clock, const Liveness& liveness);

// The rest of the sentence "rank 3 did not come ..., ": what is known of a rank whose last work was at
// `noted`, in a world in which somebody's was at `newest`.
std::string DescribeProgress(int64_t noted, int64_t newest, absl::Duration allowed);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_LIVENESS_H_
