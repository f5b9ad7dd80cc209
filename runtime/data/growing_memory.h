// Memory for bytes of which nobody knows beforehand how many there will be: grows without copying, within a
// budget.
#ifndef LOCKSTEP_RUNTIME_DATA_GROWING_MEMORY_H_
#define LOCKSTEP_RUNTIME_DATA_GROWING_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/status.h"

namespace lockstep::data {

// Bytes that several may use up together. Thread-safe.
class MemoryBudget {
 public:
  explicit MemoryBudget(uint64_t limit_bytes) : limit_bytes_(limit_bytes), left_bytes_(limit_bytes) {}
  uint64_t limit_bytes() const { return limit_bytes_; }

  // Takes what is left of `wanted_bytes` and returns how many that were.
  uint64_t Take(uint64_t wanted_bytes);
  void GiveBack(uint64_t bytes) { left_bytes_.fetch_add(bytes, std::memory_order_relaxed); }

  // Half of the machine's memory.
  static uint64_t DefaultBytes();

 private:
  const uint64_t limit_bytes_;
  std::atomic<uint64_t> left_bytes_;
};

// Movable; not thread-safe. Anonymous pages, which take real memory only once something is written to them.
class GrowingMemory {
 public:
  explicit GrowingMemory(std::shared_ptr<MemoryBudget> budget) : budget_(std::move(budget)) {}
  ~GrowingMemory();
  GrowingMemory(GrowingMemory&& other) noexcept { *this = std::move(other); }
  GrowingMemory& operator=(GrowingMemory&& other) noexcept;

  // Room behind what there is, at least a byte, which moves when Room is called again. Error:
  // ResourceExhausted when the budget or the system has no more.
  absl::StatusOr<absl::Span<char>> Room();
  // The first `size_bytes` bytes of the room now hold something.
  void Add(size_t size_bytes) { size_bytes_ += size_bytes; }
  // Gives back what was not used; nothing is added afterwards.
  void Trim();

  absl::string_view view() const { return {memory_, size_bytes_}; }

 private:
  void Resize(size_t capacity_bytes);

  std::shared_ptr<MemoryBudget> budget_;
  char* memory_ = nullptr;
  size_t size_bytes_ = 0, taken_bytes_ = 0, capacity_bytes_ = 0;  // size <= taken <= capacity
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_GROWING_MEMORY_H_
