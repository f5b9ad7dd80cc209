// The flight recorder: the last 4,096 calls of a communicator, always on. A call costs it three looks at the
// processor's counter and one cache line, some 20 ns together.
#ifndef LOCKSTEP_COMM_RECORDER_H_
#define LOCKSTEP_COMM_RECORDER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/call.h"
#include "comm/ticks.h"

namespace lockstep::comm {

enum class CallState : uint8_t { kQueued, kRunning, kDone, kFailed };

// One call, as it is read out. Moments are nanoseconds since 1970 (UTC); 0: not yet.
struct CallRecord {
  CallDescriptor descriptor;
  int to = -1, from = -1;            // of messages between two ranks
  Algorithm ran = Algorithm::kAuto;  // what the engine chose, where it had a choice
  CallState state = CallState::kQueued;
  bool background = false;  // run by the progress thread
  int64_t issued = 0, started = 0, ended = 0;

  friend bool operator==(const CallRecord&, const CallRecord&) = default;
};

// Not thread-safe.
class Recorder {
 public:
  static constexpr size_t kCalls = 4096;

  Recorder();

  // A call was issued; the result names it. Background calls wait in a queue, others run at once.
  uint64_t Issue(const Call& call, const CallDescriptor& descriptor, bool background);
  void Start(uint64_t call);
  void End(uint64_t call, bool ok, Algorithm ran);

  uint64_t issued() const { return issued_; }
  // What is kept, oldest first.
  std::vector<CallRecord> Snapshot() const;

 private:
  // One cache line. 56 bits of a counter at 3 GHz last for nine months; then moments are wrong, and no more.
  struct alignas(64) Entry {
    CallDescriptor descriptor;  // of messages, `root` and `lanes` hold the two peers
    uint64_t issued : 56, state : 8;
    uint64_t started : 56, algorithm : 8;
    uint64_t ended : 56, background : 8;
  };
  static_assert(sizeof(Entry) == 64);

  uint64_t Now() const { return (constant_ ? ProcessorTicks() : SteadyNanoseconds()) - origin_; }
  // Null when later calls have taken its place.
  Entry* Find(uint64_t call) { return issued_ - call <= kCalls ? &entries_[call % kCalls] : nullptr; }

  const bool constant_ = HasConstantTicks();
  uint64_t origin_ = 0, origin_nanoseconds_ = 0;  // the same moment on both clocks
  uint64_t issued_ = 0;
  const std::unique_ptr<Entry[]> entries_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_RECORDER_H_
