#include "runtime/train/busy.h"

#include <chrono>

#include "runtime/core/thread.h"

namespace lockstep::train {
namespace {

// Far below any deadline that is of use, and nothing that would be seen in a profile.
constexpr std::chrono::milliseconds kPeriod(200);

}  // namespace

Busy::Busy() : thread_(&Busy::Loop, this) {}

Busy::~Busy() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Busy::ShowTo(comm::Communicator* communicator) {
  std::lock_guard lock(mutex_);
  communicator_ = communicator;
}

void Busy::Loop() {
  NameThread("lockstep-busy");
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kPeriod, [this] { return stop_; })) {
    if (communicator_ != nullptr && working_.load(std::memory_order_relaxed) > 0)
      communicator_->NoteProgress();
  }
}

}  // namespace lockstep::train
