// The same work on many items, by a few threads.
#ifndef LOCKSTEP_RUNTIME_DATA_RUN_ON_THREADS_H_
#define LOCKSTEP_RUNTIME_DATA_RUN_ON_THREADS_H_

#include <cstdint>
#include <functional>

#include "runtime/core/status.h"

namespace lockstep::data {

// work(item) for the items 0 .. count-1, each once, on at most `threads` threads, the calling one among them.
// After an error no new item is begun. Returns the error of the smallest item that had one.
absl::Status RunOnThreads(int threads, int64_t count, const std::function<absl::Status(int64_t)>& work);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RUN_ON_THREADS_H_
