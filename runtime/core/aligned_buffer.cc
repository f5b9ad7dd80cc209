#include "runtime/core/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace lockstep {

namespace {
constexpr size_t kHugePageBytes = size_t{2} << 20;
}

AlignedBytes::AlignedBytes(size_t size_bytes) {
  if (size_bytes == 0) return;
  const bool large = size_bytes >= 2 * kHugePageBytes;
  const size_t alignment = large ? kHugePageBytes : kAlignmentBytes;
  void* memory = std::aligned_alloc(alignment, RoundUp(size_bytes, alignment));
  if (memory == nullptr) throw std::bad_alloc();
  // Advice only: where transparent huge pages are off, ordinary pages serve.
  if (large) madvise(memory, RoundUp(size_bytes, alignment), MADV_HUGEPAGE);
  std::memset(memory, 0, size_bytes);
  data_ = static_cast<std::byte*>(memory);
  size_bytes_ = size_bytes;
}

AlignedBytes::~AlignedBytes() { std::free(data_); }

}  // namespace lockstep
