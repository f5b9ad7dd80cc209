// Work that no operator counts: opening data, loading a checkpoint, hashing a state, waiting for a disk. Peers
// take a rank that shows no progress for a hang, so a thread shows it for as long as such work goes on. A rank
// that was stopped shows nothing, as its threads are stopped with it; one that is stuck in such work is found at
// ten deadlines (comm/liveness.h).
#ifndef LOCKSTEP_RUNTIME_TRAIN_BUSY_H_
#define LOCKSTEP_RUNTIME_TRAIN_BUSY_H_

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "comm/communicator.h"

namespace lockstep::train {

class Busy {
 public:
  Busy();
  ~Busy();
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

  // Whom to show it from now on; null: nobody. Borrowed until the next call.
  void ShowTo(comm::Communicator* communicator);

  // Such work, from its making to its end. Any number at a time, on any threads. Null `busy`: nothing.
  class Scope {
   public:
    explicit Scope(Busy* busy) : busy_(busy) {
      if (busy_ != nullptr) busy_->working_.fetch_add(1, std::memory_order_relaxed);
    }
    ~Scope() {
      if (busy_ != nullptr) busy_->working_.fetch_sub(1, std::memory_order_relaxed);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Busy* const busy_;
  };

 private:
  void Loop();

  std::atomic<int> working_{0};
  std::mutex mutex_;  // communicator_, stop_
  std::condition_variable wake_;
  comm::Communicator* communicator_ = nullptr;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_BUSY_H_
