#include "comm/hier/link_thread.h"

#include <algorithm>

#include "runtime/core/status.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {

LinkThread::~LinkThread() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

absl::Status LinkThread::Run(const StagedCollective& collective) {
  if (collective.pieces == 1) {
    RETURN_IF_ERROR(collective.collect(0));
    RETURN_IF_ERROR(collective.between(0));
    return collective.spread(0);
  }
  if (!thread_.joinable()) thread_ = std::thread(&LinkThread::Loop, this);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    collected_ = passed_ = 0;
    failure_ = absl::OkStatus();
    give_up_ = false;
    job_ = &collective;
  }
  changed_.notify_all();
  const absl::Status inside = RunInside(collective);
  std::unique_lock<std::mutex> lock(mutex_);
  if (!inside.ok() && failure_.ok()) {
    give_up_ = true;
    lock.unlock();
    changed_.notify_all();
    collective.interrupt_between(inside);
    lock.lock();
    changed_.wait(lock, [&] { return job_ == nullptr; });
    return inside;  // what `between` says now is only an echo
  }
  changed_.wait(lock, [&] { return job_ == nullptr; });
  return failure_;
}

absl::Status LinkThread::RunInside(const StagedCollective& collective) {
  size_t collected = 0;
  for (size_t spread = 0; spread < collective.pieces; ++spread) {
    for (; collected < std::min(spread + 2, collective.pieces); ++collected) {
      RETURN_IF_ERROR(collective.collect(collected));
      {
        std::lock_guard<std::mutex> lock(mutex_);
        collected_ = collected + 1;
      }
      changed_.notify_all();
    }
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return passed_ > spread || !failure_.ok(); });
      if (!failure_.ok()) return failure_;
    }
    RETURN_IF_ERROR(collective.spread(spread));
  }
  return absl::OkStatus();
}

void LinkThread::RunBetween(const StagedCollective& collective) {
  for (size_t piece = 0; piece < collective.pieces; ++piece) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return collected_ > piece || give_up_; });
      if (give_up_) return;
    }
    const absl::Status status = collective.between(piece);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (status.ok()) {
        passed_ = piece + 1;
      } else if (!give_up_) {
        failure_ = status;
      }
    }
    changed_.notify_all();
    if (status.ok()) continue;
    collective.interrupt_inside(status);
    return;
  }
}

void LinkThread::Loop() {
  NameThread("lockstep-link");
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return job_ != nullptr || stop_; });
    if (job_ == nullptr) return;
    const StagedCollective& collective = *job_;
    lock.unlock();
    RunBetween(collective);
    lock.lock();
    job_ = nullptr;
    changed_.notify_all();
  }
}

}  // namespace lockstep::comm
