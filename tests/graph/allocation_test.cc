// Counts allocations of a run in steady state. A program of its own: it replaces the global operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/graph/models.h"

namespace {
std::atomic<int64_t> allocations{0};
}

void* operator new(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t size, std::align_val_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const auto step = static_cast<size_t>(alignment);
  if (void* memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace lockstep::graph {
namespace {

TEST(LaneRunner, AllocatesNothingInSteadyState) {
  for (const NamedModel& model : TestModels()) {
    LaneHarness lane(model.model, {});
    ASSERT_TRUE(lane.ok());
    lane.Run();
    lane.Run();
    const int64_t before = allocations.load();
    for (int i = 0; i < 10; ++i) lane.Run();
    EXPECT_EQ(allocations.load() - before, 0) << model.name;
  }
}

}  // namespace
}  // namespace lockstep::graph
