#include "runtime/train/lane_team.h"

#include "absl/strings/str_cat.h"
#include "runtime/core/thread.h"

namespace lockstep::train {

LaneTeam::LaneTeam(int threads) {
  for (int member = 0; member < (threads > 0 ? threads : 1); ++member) {
    threads_.emplace_back([this, member] { Loop(member); });
  }
}

LaneTeam::~LaneTeam() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  start_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void LaneTeam::Run(const std::function<void(int)>& task) {
  std::unique_lock lock(mutex_);
  task_ = &task;
  running_ = size();
  ++round_;
  start_.notify_all();
  finished_.wait(lock, [&] { return running_ == 0; });
  task_ = nullptr;
}

void LaneTeam::Loop(int member) {
  NameThread(absl::StrCat("lane ", member));
  PrepareLaneThread();
  uint64_t done = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    start_.wait(lock, [&] { return stop_ || round_ != done; });
    if (stop_) return;
    done = round_;
    const auto* task = task_;
    lock.unlock();
    (*task)(member);
    lock.lock();
    if (--running_ == 0) finished_.notify_one();
  }
}

}  // namespace lockstep::train
