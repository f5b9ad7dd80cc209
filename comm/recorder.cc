#include "comm/recorder.h"

#include <algorithm>
#include <chrono>

namespace lockstep::comm {
namespace {

int64_t WallNanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Recorder::Recorder() : entries_(new Entry[kCalls]()) {
  origin_nanoseconds_ = SteadyNanoseconds();
  origin_ = constant_ ? ProcessorTicks() : origin_nanoseconds_;
}

uint64_t Recorder::Issue(const Call& call, const CallDescriptor& descriptor, bool background) {
  Entry& entry = entries_[issued_ % kCalls];
  entry.descriptor = descriptor;
  if (IsPointToPoint(call.kind)) {
    entry.descriptor.root = call.to;
    entry.descriptor.lanes = static_cast<uint32_t>(call.from);
  }
  entry.issued = Now();
  entry.state = static_cast<uint8_t>(background ? CallState::kQueued : CallState::kRunning);
  entry.started = background ? 0 : entry.issued;
  entry.algorithm = 0;
  entry.ended = 0;
  entry.background = background ? 1 : 0;
  return issued_++;
}

void Recorder::Start(uint64_t call) {
  Entry* entry = Find(call);
  if (entry == nullptr) return;
  entry->started = Now();
  entry->state = static_cast<uint8_t>(CallState::kRunning);
}

void Recorder::End(uint64_t call, bool ok, Algorithm ran) {
  Entry* entry = Find(call);
  if (entry == nullptr) return;
  entry->ended = Now();
  entry->state = static_cast<uint8_t>(ok ? CallState::kDone : CallState::kFailed);
  entry->algorithm = static_cast<uint8_t>(ran);
  __builtin_prefetch(&entries_[issued_ % kCalls], 1);  // the next call's, while there is time
}

std::vector<CallRecord> Recorder::Snapshot() const {
  const uint64_t now = Now();
  const uint64_t elapsed = SteadyNanoseconds() - origin_nanoseconds_;
  const double scale = now == 0 ? 1 : static_cast<double>(elapsed) / static_cast<double>(now);
  const int64_t wall = WallNanoseconds();
  const auto moment = [&](uint64_t ticks) {
    const uint64_t before = now - std::min(ticks, now);
    return ticks == 0 ? 0 : wall - static_cast<int64_t>(static_cast<double>(before) * scale);
  };
  std::vector<CallRecord> records;
  for (uint64_t call = issued_ - std::min<uint64_t>(issued_, kCalls); call < issued_; ++call) {
    const Entry& entry = entries_[call % kCalls];
    CallRecord record;
    record.descriptor = entry.descriptor;
    if (IsPointToPoint(static_cast<Collective>(entry.descriptor.kind))) {
      record.to = entry.descriptor.root;
      record.from = static_cast<int>(entry.descriptor.lanes);
      record.descriptor.root = 0;
      record.descriptor.lanes = 0;
    }
    record.ran = static_cast<Algorithm>(entry.algorithm);
    record.state = static_cast<CallState>(entry.state);
    record.background = entry.background != 0;
    record.issued = moment(entry.issued);
    record.started = moment(entry.started);
    record.ended = moment(entry.ended);
    records.push_back(record);
  }
  return records;
}

}  // namespace lockstep::comm
