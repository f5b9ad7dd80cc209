#include "runtime/data/run_on_threads.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace lockstep::data {

absl::Status RunOnThreads(int threads, int64_t count, const std::function<absl::Status(int64_t)>& work) {
  std::atomic<int64_t> next = 0;
  std::mutex mutex;
  int64_t first_item = count;
  absl::Status first;
  std::atomic<bool> stop = false;
  const auto loop = [&] {
    for (int64_t item = next++; item < count && !stop; item = next++) {
      const absl::Status status = work(item);
      if (status.ok()) continue;
      stop = true;
      std::lock_guard lock(mutex);
      if (item < first_item) {
        first_item = item;
        first = status;
      }
    }
  };
  std::vector<std::thread> others;
  for (int64_t i = 1; i < std::min<int64_t>(threads, count); ++i) others.emplace_back(loop);
  loop();
  for (std::thread& other : others) other.join();
  return first;
}

}  // namespace lockstep::data
