// Collectives of three stages a piece: inside machines, between them, inside again. Internal to comm/.
#ifndef LOCKSTEP_COMM_HIER_LINK_THREAD_H_
#define LOCKSTEP_COMM_HIER_LINK_THREAD_H_

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/status.h"

namespace lockstep::comm {

// One collective by pieces. A stage of a piece starts when the stage before it is done; `collect` and
// `spread` of all pieces run on the caller's thread, `between` on the link thread, so that the network
// works while memory is added.
struct StagedCollective {
  using Stage = std::function<absl::Status(size_t piece)>;
  size_t pieces = 1;
  Stage collect;  // inside the machine
  Stage between;  // machines
  Stage spread;   // inside the machine
  // Makes stages of the one kind, under way on the other thread, fail soon.
  std::function<void(const absl::Status&reason)> interrupt_inside, interrupt_between;
};

// The thread sleeps between calls, and is made by the first that has several pieces. One Run at a time.
class LinkThread {
 public:
  ~LinkThread();
  // The first failure of a stage. At most two pieces are collected and not yet spread, so that two buffers
  // serve.
  absl::Status Run(const StagedCollective& collective);

 private:
  absl::Status RunInside(const StagedCollective& collective);
  void Loop();
  void RunBetween(const StagedCollective& collective);

  std::mutex mutex_;
  std::condition_variable changed_;
  const StagedCollective* job_ = nullptr;  // under way on the thread
  size_t collected_ = 0, passed_ = 0;      // pieces
  absl::Status failure_;                   // of `between`
  bool give_up_ = false;                   // of the job
  bool stop_ = false;                      // of the thread
  std::thread thread_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_HIER_LINK_THREAD_H_
