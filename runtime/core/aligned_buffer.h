// Owning memory for numbers: 64-byte aligned (a cache line, and an AVX-512 register), zeroed, on huge pages
// when large.
#ifndef LOCKSTEP_RUNTIME_CORE_ALIGNED_BUFFER_H_
#define LOCKSTEP_RUNTIME_CORE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <utility>

#include "absl/types/span.h"

namespace lockstep {

inline constexpr size_t kAlignmentBytes = 64;

// `value` rounded up to a multiple of `step` (> 0).
constexpr size_t RoundUp(size_t value, size_t step) { return (value + step - 1) / step * step; }

// Movable, not copyable. Not thread-safe; the bytes are the caller's to guard.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(size_t size_bytes);  // zeroed; size 0 holds nothing
  ~AlignedBytes();
  AlignedBytes(AlignedBytes&& other) noexcept { *this = std::move(other); }
  AlignedBytes& operator=(AlignedBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }

  std::byte* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
};

// The same for `count` elements of a trivial type T.
template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t count) : bytes_(count * sizeof(T)), count_(count) {}

  T* data() const { return reinterpret_cast<T*>(bytes_.data()); }
  size_t size() const { return count_; }  // elements
  absl::Span<T> span() const { return {data(), count_}; }
  T& operator[](size_t i) const { return data()[i]; }

 private:
  AlignedBytes bytes_;
  size_t count_ = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_ALIGNED_BUFFER_H_
