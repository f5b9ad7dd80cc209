// Reads of files that go on while the caller does something else.
#ifndef LOCKSTEP_RUNTIME_DATA_READ_ASYNC_READS_H_
#define LOCKSTEP_RUNTIME_DATA_READ_ASYNC_READS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"

namespace lockstep::data {

// Thread-safe. Destruction waits for what was started.
class AsyncReads {
 public:
  virtual ~AsyncReads() = default;

  // Reads out.size() bytes at `offset`, then calls `done` once with what ReadableFile::ReadAt would return, on a thread of this
  // object, never within Start. `file` and `out` must live until then.
  using Done = std::function<void(absl::Status)>;
  virtual void Start(const ReadableFile* file, uint64_t offset, absl::Span<char> out, Done done) = 0;

  virtual std::string name() const = 0;  // for people
};

// By `threads` threads, each of which reads one thing at a time.
std::unique_ptr<AsyncReads> MakeThreadReads(int threads);

// By io_uring, up to `depth` at a time; what has no descriptor goes to `others`. Null where the library was built without
// liburing, or the system does not permit it (containers often do not; kernel.io_uring_disabled).
std::unique_ptr<AsyncReads> MakeUringReads(int depth, AsyncReads* others);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_READ_ASYNC_READS_H_
