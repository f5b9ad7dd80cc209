#include "comm/bench/memory_bound.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "comm/bench/bench_values.h"
#include "comm/shm/control.h"
#include "comm/shm/direct_two_shot.h"
#include "comm/shm/processor.h"
#include "runtime/core/clock.h"

namespace lockstep::comm {
namespace {

constexpr size_t kSmallestHugePage = size_t{2} << 20;

// All threads leave together. More threads than cores give way to each other.
class SpinBarrier {
 public:
  explicit SpinBarrier(int threads) : threads_(threads) {}
  void Wait() {
    const uint32_t round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
      CpuRelax();
      if (spins > 10000) std::this_thread::yield();
    }
  }

 private:
  const int threads_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> round_{0};
};

struct NoSync {
  void Arrive() {}
  absl::Status Await(uint32_t) { return absl::OkStatus(); }
};

void PinTo(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);  // of this thread; a refusal costs exactness only
}

double Median(std::vector<double>& values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace

absl::StatusOr<MemoryBound> MemoryBound::Make(int ranks, size_t max_bytes) {
  if (ranks < 2 || ranks > kMaxShmRanks)
    return ConfigError(absl::StrCat("the bound is that of 2 to ", kMaxShmRanks, " ranks"));
  MemoryBound made;
  made.ranks_ = ranks;
  // Launchers bind a rank to its core; the others' cores are this machine's too.
  cpu_set_t all;
  CPU_ZERO(&all);
  for (int core = 0; core < CPU_SETSIZE; ++core) CPU_SET(core, &all);
  cpu_set_t before;
  CPU_ZERO(&before);
  sched_getaffinity(0, sizeof before, &before);
  sched_setaffinity(0, sizeof all, &all);
  cpu_set_t usable;
  CPU_ZERO(&usable);
  sched_getaffinity(0, sizeof usable, &usable);
  sched_setaffinity(0, sizeof before, &before);
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &usable)) made.cores_.push_back(core);
  }
  for (int rank = 0; rank < ranks; ++rank) {
    made.buffers_.emplace_back(RoundUp(max_bytes, kSmallestHugePage) / sizeof(float));
  }
  return made;
}

double MemoryBound::MedianSeconds(size_t bytes, int warmup, int iterations) {
  const size_t count = bytes / sizeof(float);
  const ReduceProgram program(ranks_, BalancedSteps(ranks_), ReduceOp::kSum, DType::kF32);
  SpinBarrier barrier(ranks_);
  std::vector<double> slowest(ranks_);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks_; ++rank) {
    threads.emplace_back([&, rank] {
      if (!cores_.empty()) PinTo(cores_[static_cast<size_t>(rank) % cores_.size()]);
      Pointers<std::byte*> results;
      for (const auto& buffer : buffers_) results.push_back(reinterpret_cast<std::byte*>(buffer.data()));
      const Pointers<const std::byte*> inputs(results.begin(), results.end());
      const DirectTwoShot steps{program, inputs, results, rank, ranks_, count, sizeof(float)};
      const std::vector<float> table(kPeriod, 1.0f);
      std::vector<double> seconds;
      for (int i = -warmup; i < iterations; ++i) {
        FillFrom(table, 0, buffers_[rank].data(), count);
        barrier.Wait();
        const double start = MonotonicSeconds();
        steps.Run(NoSync()).IgnoreError();
        if (i >= 0) seconds.push_back(MonotonicSeconds() - start);
        barrier.Wait();  // nobody rewrites what another still reads
      }
      slowest[rank] = Median(seconds);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return *std::max_element(slowest.begin(), slowest.end());
}

}  // namespace lockstep::comm
