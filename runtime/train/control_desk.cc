#include "runtime/train/control_desk.h"

#include <chrono>
#include <utility>

namespace lockstep::train {

uint64_t ControlDesk::Ask(const Wishes& wishes) {
  std::lock_guard lock(mutex_);
  waiting_.checkpoint |= wishes.checkpoint;
  waiting_.stop |= wishes.stop;
  if (wishes.size > 0) waiting_.size = wishes.size;
  if (wishes.pause != PauseWish::kNone) waiting_.pause = wishes.pause;
  return ++asked_;
}

bool ControlDesk::AwaitHeard(uint64_t number, absl::Duration patience) {
  std::unique_lock lock(mutex_);
  heard_.wait_for(lock, absl::ToChronoNanoseconds(patience),
                  [&] { return heard_number_ >= number || closed_; });
  return heard_number_ >= number;
}

void ControlDesk::Close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  heard_.notify_all();
}

Wishes ControlDesk::Take() {
  std::lock_guard lock(mutex_);
  taken_ = waiting_;
  taken_number_ = asked_;
  return taken_;
}

void ControlDesk::Heard() {
  {
    std::lock_guard lock(mutex_);
    if (heard_number_ == taken_number_) return;
    // What was asked since Take stays.
    waiting_.checkpoint &= !taken_.checkpoint;
    waiting_.stop &= !taken_.stop;
    if (waiting_.size == taken_.size) waiting_.size = 0;
    if (waiting_.pause == taken_.pause) waiting_.pause = PauseWish::kNone;
    heard_number_ = taken_number_;
  }
  heard_.notify_all();
}

void ControlDesk::SetMembers(std::string text, int size) {
  std::lock_guard lock(mutex_);
  status_.members = std::move(text);
  status_.size = size;
}

void ControlDesk::SetPaused(bool paused) {
  std::lock_guard lock(mutex_);
  status_.paused = paused;
}

void ControlDesk::OnStep(const StepMetrics& metrics, absl::Span<const int64_t>) {
  std::lock_guard lock(mutex_);
  status_.last = metrics;
}

ControlDesk::Status ControlDesk::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

}  // namespace lockstep::train
