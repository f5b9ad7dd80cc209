// What a backend implements: it runs one validated call at a time. The front (comm/front.cc) gives it order,
// queue, progress thread and sticky failure. Internal to comm/.
#ifndef LOCKSTEP_COMM_ENGINE_H_
#define LOCKSTEP_COMM_ENGINE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "comm/call.h"
#include "comm/dump.h"
#include "comm/plan/cost_model.h"
#include "comm/store.h"
#include "runtime/core/clock.h"
#include "runtime/core/fault_points.h"

namespace lockstep::comm {

// The deadline of one call. The clock is first read when the call first has to wait in earnest, since small
// collectives take less time than reading it twice.
class CallClock {
 public:
  explicit CallClock(absl::Duration allowed) : allowed_(allowed) {}
  Deadline deadline() {
    if (!deadline_) {
      begun_ = MonotonicSeconds();
      deadline_ = Deadline::After(allowed_);
    }
    return *deadline_;
  }
  bool Passed() { return deadline().Passed(); }
  absl::Duration allowed() const { return allowed_; }
  absl::Duration Waited() const {
    return deadline_ ? absl::Seconds(MonotonicSeconds() - begun_) : absl::ZeroDuration();
  }
  // The same, `grace` later. For waits that depend on others' waits, so that those who wait for the culprit
  // itself are the first to say so.
  CallClock Later(absl::Duration grace) {
    CallClock later(allowed_);
    later.deadline_ = Deadline::After(deadline().Left() + grace);
    later.begun_ = begun_;
    return later;
  }

 private:
  absl::Duration allowed_;
  std::optional<Deadline> deadline_;
  double begun_ = 0;
};

struct RunContext {
  CallDescriptor descriptor;  // of the call; its sequence counts collectives
  CallClock clock;
  bool background = false;     // on the progress thread: leave the core to those who compute
  uint64_t send_sequence = 0;  // of a message between two ranks: how many went from one to the other before
  uint64_t recv_sequence = 0;
  uint64_t record = 0;               // of the flight recorder
  FaultPoints* faults = nullptr;     // made-up faults of tests happen at the steps of this call; null: none
  Algorithm ran = Algorithm::kAuto;  // set by the engine: what it chose, where it had a choice
};

// The place `point` of a call. An error that is made up there is one of the way to the peers.
inline absl::Status ReachFault(const RunContext& context, absl::string_view point) {
  if (context.faults == nullptr) [[likely]]
    return absl::OkStatus();
  const absl::Status fault = context.faults->Reach(point);
  return fault.ok() ? fault : PeerError(fault.message());
}

class Engine {
 public:
  virtual ~Engine() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string backend() const = 0;
  virtual std::string Describe() const = 0;
  // Carries the call out. One call at a time, from any thread. Errors say who and in which phase; the front
  // adds which call it was.
  virtual absl::Status Run(const Call& call, RunContext& context) = 0;
  virtual absl::StatusOr<PeerBuffer> AllocatePeerBuffer(size_t size_bytes) = 0;
  // Algorithms are chosen by this from now on; the same on all ranks, and before the first Run that matters.
  // Engines that choose otherwise take no notice.
  virtual bool UsesCostModel() const { return false; }
  virtual void SetCostModel(const CostModel&) {}
  // This rank got on with its work (comm/liveness.h). Cheap; from any thread, also during Run.
  virtual void NoteProgress() {}
  // Which algorithm is taken at which size, for people, where no cost model decides; "": nothing to say.
  virtual std::string DescribeChoices() const { return ""; }
  // Makes a Run under way, and every later one, return `reason` soon. From any thread.
  virtual void Interrupt(const absl::Status& reason) = 0;
  // Tells the peers why this rank fails, within about half a second. No Run is under way and none follows.
  virtual void ReportFailure(const absl::Status& reason) = 0;
};

// Makes a communicator of the ranks that come to `meeting`, with the options of an earlier one.
using Remake = std::function<absl::StatusOr<std::unique_ptr<Communicator>>(Meeting& meeting)>;

struct FrontOptions {
  Algorithm algorithm = Algorithm::kAuto;
  absl::Duration deadline = absl::Minutes(5);
  uint64_t generation = 0;
  Remake remake;  // for Split; null: refused
  FaultPoints* faults = nullptr;
  DumpOptions dump;
};
std::unique_ptr<Communicator> MakeFront(std::unique_ptr<Engine> engine, const FrontOptions& options);

// Ordinary memory as a peer buffer, for backends that copy anyway.
absl::StatusOr<PeerBuffer> AllocatePlainBuffer(size_t size_bytes);

// The engine of a world of one.
std::unique_ptr<Engine> MakeSelfEngine();

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_ENGINE_H_
