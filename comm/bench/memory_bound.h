// What the machine gives: the speed of the loads and stores of a two-shot all-reduce over peer buffers when
// nobody waits for anybody. Internal to comm/bench.
#ifndef LOCKSTEP_COMM_BENCH_MEMORY_BOUND_H_
#define LOCKSTEP_COMM_BENCH_MEMORY_BOUND_H_

#include <cstddef>
#include <vector>

#include "runtime/core/aligned_buffer.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

// `ranks` threads of this process, pinned to the cores that it may use in turn, each with a buffer of floats
// in ordinary memory (on huge pages where the machine has them). An iteration: every thread rewrites its
// buffer, all meet, and then each does, by itself and in place, exactly the work of DirectTwoShot
// (comm/shm/direct_two_shot.h): it reduces its share of every segment from all buffers into its own, and
// copies the others' shares. What it copies may be old or torn: only time is looked at. Apart from that
// nothing is shared, so this is the bound of that algorithm on this machine, peers' interference included.
class MemoryBound {
 public:
  // Error: ResourceExhausted, ConfigError for fewer than 2 ranks.
  static absl::StatusOr<MemoryBound> Make(int ranks, size_t max_bytes);

  // Median seconds of an iteration over `bytes` (at most max_bytes) a thread, the slowest thread's.
  double MedianSeconds(size_t bytes, int warmup, int iterations);

 private:
  MemoryBound() = default;
  int ranks_ = 0;
  std::vector<int> cores_;
  std::vector<AlignedBuffer<float>> buffers_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_BENCH_MEMORY_BOUND_H_
