// Named places in the code where a test makes something go wrong: a process dies, stands still, is late,
// meets an error, or finds a bit of its memory changed. Compiled in always, so that what is tested is what
// users run; a place that no fault waits at costs one relaxed load.
//
// Faults are written as a list, separated by commas, semicolons or spaces (LOCKSTEP_FAULTS, which the program
// reads, is such a list):
//   point:rank:step:action[:hit]
//   point   the name of the place, such as "update.parameters" (docs/reliability.md lists them)
//   rank    the rank as the launcher numbered it, or * for every rank
//   step    the number of the step under way, counted from 1 as in the files of a run; 0 before the first; *
//   action  kill (SIGKILL), stop (SIGSTOP), delay=MILLISECONDS, error, flip=BIT (of the memory at that place,
//           counted from its start and taken modulo its size; flip alone is bit 0)
//   hit     which time the place is reached under these conditions, counted from 1, which is the default
// Each fault happens once in a process. A process that is started again reads the list again.
#ifndef LOCKSTEP_RUNTIME_CORE_FAULT_POINTS_H_
#define LOCKSTEP_RUNTIME_CORE_FAULT_POINTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/status.h"

namespace lockstep {

enum class FaultAction { kKill, kStop, kDelay, kError, kFlip };

struct Fault {
  static constexpr int64_t kAny = -1;
  std::string point;
  int64_t rank = kAny;
  int64_t step = kAny;
  FaultAction action = FaultAction::kError;
  int64_t argument = 0;  // milliseconds of kDelay, bit of kFlip
  int64_t hit = 1;
};

// Error: ConfigError naming the entry and what is wrong with it. Empty text is no fault.
absl::StatusOr<std::vector<Fault>> ParseFaults(absl::string_view text);

// As ParseFaults reads it.
std::string FaultText(const Fault& fault);

// The faults of one rank: an object that the program makes and hands down, so that ranks that are threads of
// one process do not share them. Thread-safe.
class FaultPoints {
 public:
  FaultPoints() = default;
  explicit FaultPoints(std::vector<Fault> faults);
  FaultPoints(const FaultPoints&) = delete;
  FaultPoints& operator=(const FaultPoints&) = delete;

  // Who and where this process is. Faults of other ranks never happen here.
  void SetRank(int rank) { rank_.store(rank, std::memory_order_relaxed); }
  void SetStep(int64_t step) { step_.store(step, std::memory_order_relaxed); }

  // Hears of each fault right before it happens, in the thread that it happens to. Before the first Reach.
  void OnFault(std::function<void(const Fault& fault)> heard) { heard_ = std::move(heard); }

  // For callers that would have to make up the name of their place.
  bool armed() const { return left_.load(std::memory_order_relaxed) != 0; }

  // The code has come to `point`. OK, unless the action `error` waits here: then an UnavailableError that
  // names the fault, for the caller to treat as what can fail at this place.
  absl::Status Reach(absl::string_view point) { return Reach(point, {}); }
  // The same at a place that has memory for `flip`; without memory flip does nothing.
  absl::Status Reach(absl::string_view point, absl::Span<std::byte> memory) {
    if (left_.load(std::memory_order_relaxed) == 0) return absl::OkStatus();
    return ReachArmed(point, memory);
  }

  // Faults of this rank that have not happened: at the end of a test that means to see them, a mistake.
  std::vector<std::string> Unreached() const;

 private:
  struct Armed {
    Fault fault;
    int64_t hits = 0;
    bool done = false;
  };
  absl::Status ReachArmed(absl::string_view point, absl::Span<std::byte> memory);
  std::vector<Fault> Due(absl::string_view point);
  bool IsOurs(const Fault& fault) const;

  std::atomic<int64_t> left_{0};  // faults that have not happened, of any rank
  std::atomic<int64_t> rank_{0}, step_{0};
  std::function<void(const Fault&)> heard_;
  mutable std::mutex mutex_;  // armed_
  std::vector<Armed> armed_;
};

// For places that may have been given no faults.
inline absl::Status ReachFault(FaultPoints* faults, absl::string_view point) {
  return faults == nullptr ? absl::OkStatus() : faults->Reach(point);
}

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_FAULT_POINTS_H_
