// Waiting without sleeping, for a short while. Internal to comm/tcp.
#ifndef LOCKSTEP_COMM_TCP_SPINNING_H_
#define LOCKSTEP_COMM_TCP_SPINNING_H_

#include <sched.h>

#include <cstdint>

#include "comm/liveness.h"

namespace lockstep::comm {

// To be woken takes several times longer than a small message does. So who waits looks again and again, and
// lets others run between, for kNanoseconds in all before it sleeps: little beside what an exchange over a
// slow network takes.
class Spinning {
 public:
  static constexpr int64_t kNanoseconds = 100'000;

  // Not `allowed`: never, so that the core is left to those who compute.
  explicit Spinning(bool allowed) : left_(allowed ? kNanoseconds : 0) {}
  // Something has happened: from here on no time is counted, until the next Once.
  void Stop() { since_ = 0; }
  // Nothing has. False: it has been enough.
  bool Once() {
    if (left_ <= 0) return false;
    const int64_t now = MonotonicNanoseconds();
    if (since_ != 0) left_ -= now - since_;
    since_ = now;
    sched_yield();
    return true;
  }

 private:
  int64_t left_, since_ = 0;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_SPINNING_H_
