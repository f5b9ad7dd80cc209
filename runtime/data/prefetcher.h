// Micro-batches decoded ahead of their use, by threads that give way to whoever computes, and their records announced to
// the source still further ahead (SampleSource::Announce). The positions of all steps are known, so this is only work
// done early: what comes out never depends on the threads, their number or their timing.
#ifndef LOCKSTEP_RUNTIME_DATA_PREFETCHER_H_
#define LOCKSTEP_RUNTIME_DATA_PREFETCHER_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "runtime/core/status.h"
#include "runtime/data/batcher.h"

namespace lockstep::data {

struct PrefetcherOptions {
  int threads = 1;          // that decode; 0: everything is decoded when it is asked for
  int depth_steps = 4;      // steps ahead, the one in progress included; >= 1
  int announce_steps = 32;  // likewise, of which the records are announced; at least depth_steps are
};

class Prefetcher;

// A ready micro-batch on loan; destruction gives its buffers back. Movable. It must not outlive its
// Prefetcher.
class BatchLease {
 public:
  BatchLease() = default;
  ~BatchLease();
  BatchLease(BatchLease&& other) noexcept { *this = std::move(other); }
  BatchLease& operator=(BatchLease&& other) noexcept;

  const Batch& operator*() const { return *batch_; }
  const Batch* operator->() const { return batch_.get(); }

 private:
  friend class Prefetcher;
  Prefetcher* owner_ = nullptr;
  std::unique_ptr<Batch> batch_;
  int64_t kept_ =
      -1;  // which of the batches that are kept over steps (SampleSource::repeats_first_step), or -1
};

// Start from one thread; Take from any. Nothing is allocated in a steady state: buffers go round.
class Prefetcher {
 public:
  Prefetcher(std::shared_ptr<const Batcher> batcher, PrefetcherOptions options);
  ~Prefetcher();  // waits for what is being decoded
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // From `step` on, this rank will take every micro-batch of lanes lane_begin .. lane_end-1. May be called
  // again at any time (a change of membership, a step redone): what was ready for other lanes is dropped.
  void Start(int64_t step, int lane_begin, int lane_end);

  // The micro-batch, waiting until it is ready. Any may be asked for, also one that Start did not announce or
  // that was taken before: it is then decoded on the calling thread. Asking for a step drops what is left of
  // earlier ones. Error: the decoder's, once for each Take of the micro-batch that has it.
  absl::StatusOr<BatchLease> Take(int64_t step, int lane, int micro);

  // Seconds that callers have spent in Take since the last call, added up over threads.
  double TakeWaitSeconds();

  const Batcher& batcher() const;

 private:
  friend class BatchLease;
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_PREFETCHER_H_
