#include "comm/liveness.h"

#include <algorithm>

namespace lockstep::comm {
namespace {

// To tenths of a second: what people can use.
std::string Ago(int64_t moment, int64_t now) {
  const int64_t tenths = std::max<int64_t>(now - moment, 0) / 100'000'000;
  return absl::FormatDuration(absl::Milliseconds(100 * tenths));
}

}  // namespace

void Liveness::Raise(int64_t moment) {
  int64_t known = words_->newest.load(std::memory_order_relaxed);
  while (known < moment && !words_->newest.compare_exchange_weak(known, moment, std::memory_order_relaxed)) {
  }
}

void Liveness::Note() {
  const int64_t now = MonotonicNanoseconds();
  words_->count.fetch_add(1, std::memory_order_relaxed);
  words_->noted.store(now, std::memory_order_relaxed);
  Raise(now);
}

void Liveness::Hear(int64_t moment) {
  if (moment > newest()) Raise(std::min(moment, MonotonicNanoseconds()));
}

bool WaitIsOver(CallClock& clock, const Liveness& liveness) {
  if (!clock.Passed()) return false;
  const int64_t allowed = absl::ToInt64Nanoseconds(clock.allowed());
  const int64_t now = MonotonicNanoseconds();
  const int64_t newest = liveness.newest();
  return newest == 0 || now - newest >= allowed || clock.Waited() >= kLongestWaitDeadlines * clock.allowed();
}

std::string DescribeProgress(int64_t noted, int64_t newest, absl::Duration allowed) {
  const int64_t now = MonotonicNanoseconds();
  if (noted == 0) return "it is alive, but stuck or in other work";
  if (now - noted < absl::ToInt64Nanoseconds(allowed)) {
    return absl::StrCat("it is alive and busy (it got on with its work ", Ago(noted, now),
                        " ago), but does not come: raise the deadline if its work may take that long");
  }
  std::string text = absl::StrCat("it is alive, but stopped or stuck: it has not got on with its work for ",
                                  Ago(noted, now));
  // Not its fault, then, or not its alone.
  if (newest > noted) absl::StrAppend(&text, " (some other rank did ", Ago(newest, now), " ago)");
  return text;
}

}  // namespace lockstep::comm
