// Counts what an order allocates. A program of its own: it replaces the global operator new.
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/data/order.h"

namespace {
thread_local int64_t allocated_bytes = 0;  // since the thread began
}  // namespace

// Not inlined: the compiler would take malloc and free for a pair that does not belong together.
[[gnu::noinline]] void* operator new(size_t size) {
  allocated_bytes += static_cast<int64_t>(size);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  allocated_bytes += static_cast<int64_t>(size);
  return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace lockstep::data {
namespace {

// A million million samples take as much memory as a hundred thousand: what is allocated is counted.
TEST(OrderTest, MemoryDoesNotGrowWithTheSamples) {
  for (const OrderKind kind : {OrderKind::kShuffle, OrderKind::kSequential, OrderKind::kBlockShuffle}) {
    std::vector<int64_t> bytes;
    for (const int64_t samples : {int64_t{100000}, int64_t{1000000000000}}) {
      std::vector<int64_t> out(256);
      const int64_t before = allocated_bytes;
      const Order order = *Order::Create({.kind = kind, .seed = 9, .blocks = {128, 64}}, {{samples, 1}});
      for (const int64_t part : {0, 1, 7})
        order.SamplesAt(part * samples / 3 + samples / 7, absl::MakeSpan(out));
      bytes.push_back(allocated_bytes - before);
      for (const int64_t sample : out) {
        EXPECT_GE(sample, 0);
        EXPECT_LT(sample, samples);
      }
    }
    EXPECT_EQ(bytes[0], bytes[1]);
    EXPECT_LT(bytes[1], 1000);
  }
}

}  // namespace
}  // namespace lockstep::data
