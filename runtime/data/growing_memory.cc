#include "runtime/data/growing_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace lockstep::data {
namespace {

constexpr size_t kFirstBytes = size_t{1} << 20;
// So much is taken of the budget at a time: the most by which a stream can overshoot what it really holds.
constexpr size_t kStepBytes = size_t{8} << 20;

size_t WholePages(size_t bytes) {
  static const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

uint64_t MemoryBudget::Take(uint64_t wanted_bytes) {
  uint64_t left = left_bytes_.load(std::memory_order_relaxed), taken = 0;
  do {
    taken = std::min(left, wanted_bytes);
  } while (!left_bytes_.compare_exchange_weak(left, left - taken, std::memory_order_relaxed));
  return taken;
}

uint64_t MemoryBudget::DefaultBytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) return uint64_t{1} << 30;
  return static_cast<uint64_t>(pages) * static_cast<uint64_t>(page) / 2;
}

GrowingMemory::~GrowingMemory() {
  if (memory_ != nullptr) ::munmap(memory_, capacity_bytes_);
  if (budget_ != nullptr) budget_->GiveBack(taken_bytes_);
}

GrowingMemory& GrowingMemory::operator=(GrowingMemory&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(memory_, other.memory_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(taken_bytes_, other.taken_bytes_);
  std::swap(capacity_bytes_, other.capacity_bytes_);
  return *this;
}

// Moves the pages' addresses, not the bytes. On failure everything stays as it is.
void GrowingMemory::Resize(size_t capacity_bytes) {
  void* memory = memory_ == nullptr ? ::mmap(nullptr, capacity_bytes, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                    : ::mremap(memory_, capacity_bytes_, capacity_bytes, MREMAP_MAYMOVE);
  if (memory == MAP_FAILED) return;
  memory_ = static_cast<char*>(memory);
  capacity_bytes_ = capacity_bytes;
  ::madvise(memory_, capacity_bytes_, MADV_HUGEPAGE);  // fewer faults; a refusal does no harm
}

absl::StatusOr<absl::Span<char>> GrowingMemory::Room() {
  if (size_bytes_ == taken_bytes_) {
    const size_t wanted = std::clamp(size_bytes_, kFirstBytes, kStepBytes);
    taken_bytes_ += budget_->Take(wanted);
    if (size_bytes_ == taken_bytes_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the ", budget_->limit_bytes(), " bytes of memory for decompressed data are used up"));
    }
  }
  if (taken_bytes_ > capacity_bytes_) Resize(WholePages(std::max(taken_bytes_, 2 * capacity_bytes_)));
  if (taken_bytes_ > capacity_bytes_)
    return absl::ResourceExhaustedError(
        absl::StrCat("the system has no memory for ", taken_bytes_, " bytes"));
  return absl::MakeSpan(memory_ + size_bytes_, taken_bytes_ - size_bytes_);
}

void GrowingMemory::Trim() {
  budget_->GiveBack(taken_bytes_ - size_bytes_);
  taken_bytes_ = size_bytes_;
  if (size_bytes_ > 0) Resize(WholePages(size_bytes_));
}

}  // namespace lockstep::data
