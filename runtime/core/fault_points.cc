#include "runtime/core/fault_points.h"

#include <csignal>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace lockstep {
namespace {

constexpr int64_t kLongestDelayMilliseconds = 600 * 1000;

absl::Status Malformed(absl::string_view entry, absl::string_view why) {
  return ConfigError(
      absl::StrCat("fault '", entry, "': ", why,
                   "; a fault is point:rank:step:action[:hit], as in update.parameters:1:7:flip=30"));
}

// A count, or * for any.
bool ParseNumber(absl::string_view text, bool any, int64_t* number) {
  if (any && text == "*") {
    *number = Fault::kAny;
    return true;
  }
  return absl::SimpleAtoi(text, number) && *number >= 0;
}

bool ParseAction(absl::string_view text, Fault* fault) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  const bool has_argument = parts.first.size() != text.size();
  if (has_argument && !ParseNumber(parts.second, /*any=*/false, &fault->argument)) return false;
  if (parts.first == "delay") {
    fault->action = FaultAction::kDelay;
    return has_argument && fault->argument <= kLongestDelayMilliseconds;
  }
  if (parts.first == "flip") {
    fault->action = FaultAction::kFlip;
    return true;
  }
  if (has_argument) return false;
  if (text == "kill") {
    fault->action = FaultAction::kKill;
  } else if (text == "stop") {
    fault->action = FaultAction::kStop;
  } else if (text == "error") {
    fault->action = FaultAction::kError;
  } else {
    return false;
  }
  return true;
}

absl::StatusOr<Fault> ParseFault(absl::string_view entry) {
  const std::vector<absl::string_view> words = absl::StrSplit(entry, ':');
  if (words.size() != 4 && words.size() != 5) return Malformed(entry, "it has 4 or 5 parts");
  Fault fault;
  fault.point = std::string(words[0]);
  if (fault.point.empty()) return Malformed(entry, "the point has no name");
  if (!ParseNumber(words[1], /*any=*/true, &fault.rank)) return Malformed(entry, "the rank is a number or *");
  if (!ParseNumber(words[2], /*any=*/true, &fault.step)) return Malformed(entry, "the step is a number or *");
  if (!ParseAction(words[3], &fault)) {
    return Malformed(
        entry, "the action is kill, stop, delay=MILLISECONDS (at most 600000), error, flip or flip=BIT");
  }
  if (words.size() == 5 && (!ParseNumber(words[4], /*any=*/false, &fault.hit) || fault.hit < 1)) {
    return Malformed(entry, "the hit is a number from 1");
  }
  return fault;
}

void FlipBit(absl::Span<std::byte> memory, int64_t bit) {
  if (memory.empty()) return;
  const size_t byte = static_cast<size_t>(bit / 8) % memory.size();
  memory[byte] ^= std::byte{1} << (bit % 8);
}

}  // namespace

absl::StatusOr<std::vector<Fault>> ParseFaults(absl::string_view text) {
  std::vector<Fault> faults;
  for (absl::string_view entry : absl::StrSplit(text, absl::ByAnyChar(",; \t\n"), absl::SkipEmpty())) {
    ASSIGN_OR_RETURN(Fault fault, ParseFault(entry));
    faults.push_back(std::move(fault));
  }
  return faults;
}

std::string FaultText(const Fault& fault) {
  const auto number = [](int64_t value) { return value == Fault::kAny ? "*" : absl::StrCat(value); };
  std::string action;
  switch (fault.action) {
    case FaultAction::kKill:
      action = "kill";
      break;
    case FaultAction::kStop:
      action = "stop";
      break;
    case FaultAction::kDelay:
      action = absl::StrCat("delay=", fault.argument);
      break;
    case FaultAction::kError:
      action = "error";
      break;
    case FaultAction::kFlip:
      action = absl::StrCat("flip=", fault.argument);
      break;
  }
  return absl::StrCat(fault.point, ":", number(fault.rank), ":", number(fault.step), ":", action,
                      fault.hit == 1 ? "" : absl::StrCat(":", fault.hit));
}

FaultPoints::FaultPoints(std::vector<Fault> faults) {
  for (Fault& fault : faults) armed_.push_back({std::move(fault)});
  left_ = static_cast<int64_t>(armed_.size());
}

bool FaultPoints::IsOurs(const Fault& fault) const {
  return fault.rank == Fault::kAny || fault.rank == rank_.load(std::memory_order_relaxed);
}

std::vector<Fault> FaultPoints::Due(absl::string_view point) {
  const int64_t step = step_.load(std::memory_order_relaxed);
  std::vector<Fault> due;
  std::lock_guard lock(mutex_);
  for (Armed& armed : armed_) {
    const Fault& fault = armed.fault;
    if (armed.done || fault.point != point || !IsOurs(fault)) continue;
    if (fault.step != Fault::kAny && fault.step != step) continue;
    if (++armed.hits < fault.hit) continue;
    armed.done = true;
    left_.fetch_sub(1, std::memory_order_relaxed);
    due.push_back(fault);
  }
  return due;
}

absl::Status FaultPoints::ReachArmed(absl::string_view point, absl::Span<std::byte> memory) {
  absl::Status status;
  for (const Fault& fault : Due(point)) {  // outside of the lock: it may take long, or end the process
    if (heard_) heard_(fault);
    switch (fault.action) {
      case FaultAction::kKill:
        std::raise(SIGKILL);
        break;
      case FaultAction::kStop:
        std::raise(SIGSTOP);
        break;
      case FaultAction::kDelay:
        absl::SleepFor(absl::Milliseconds(fault.argument));
        break;
      case FaultAction::kError:
        status.Update(absl::UnavailableError(absl::StrCat("injected fault ", FaultText(fault))));
        break;
      case FaultAction::kFlip:
        FlipBit(memory, fault.argument);
        break;
    }
  }
  return status;
}

std::vector<std::string> FaultPoints::Unreached() const {
  std::vector<std::string> left;
  std::lock_guard lock(mutex_);
  for (const Armed& armed : armed_) {
    if (!armed.done && IsOurs(armed.fault)) left.push_back(FaultText(armed.fault));
  }
  return left;
}

}  // namespace lockstep
