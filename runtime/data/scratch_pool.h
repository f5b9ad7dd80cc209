// Working memory for decoders: one object for each thread that decodes at the same time, used again.
#ifndef LOCKSTEP_RUNTIME_DATA_SCRATCH_POOL_H_
#define LOCKSTEP_RUNTIME_DATA_SCRATCH_POOL_H_

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace lockstep::data {

// Thread-safe. Made objects stay until the pool goes.
template <typename Scratch>
class ScratchPool {
 public:
  // What `use(Scratch*)` returns; nobody else has that object meanwhile.
  template <typename Use>
  auto With(Use&& use) const {
    std::unique_ptr<Scratch> scratch = Take();
    auto result = use(scratch.get());
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
    return result;
  }

 private:
  std::unique_ptr<Scratch> Take() const {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<Scratch>();
    std::unique_ptr<Scratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> free_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_SCRATCH_POOL_H_
