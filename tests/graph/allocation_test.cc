// Counts allocations of a run in steady state. A program of its own: it replaces the global operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/graph/models.h"

// Where GCC inlines one of the operators below and not the other, it sees malloc's memory given to delete.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace {
std::atomic<int64_t> allocations{0}, allocated_bytes{0};
}

void* operator new(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  allocated_bytes.fetch_add(static_cast<int64_t>(size), std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t size, std::align_val_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  allocated_bytes.fetch_add(static_cast<int64_t>(size), std::memory_order_relaxed);
  const auto step = static_cast<size_t>(alignment);
  if (void* memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t size,
                   const std::nothrow_t&) noexcept {  // std::stable_sort asks for its buffer this way
  allocations.fetch_add(1, std::memory_order_relaxed);
  allocated_bytes.fetch_add(static_cast<int64_t>(size), std::memory_order_relaxed);
  return std::malloc(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace lockstep::graph {
namespace {

struct Cost {
  int64_t allocations, bytes;
};

// Of one run of `lane` in steady state.
Cost CostOfRun(LaneHarness& lane) {
  lane.Run();
  const int64_t count = allocations.load(), bytes = allocated_bytes.load();
  for (int i = 0; i < 10; ++i) lane.Run();
  return {(allocations.load() - count) / 10, (allocated_bytes.load() - bytes) / 10};
}

// Without fusion, linear layers are plain calls of sgemm.
TEST(LaneRunner, AllocatesNothingInSteadyState) {
  for (const NamedModel& model : TestModels()) {
    if (model.name == "Cnn") continue;  // convolutions are oneDNN primitives
    HarnessOptions options;
    options.compile.fuse = false;
    LaneHarness lane(model.model, options);
    ASSERT_TRUE(lane.ok());
    EXPECT_EQ(CostOfRun(lane).allocations, 0) << model.name;
  }
}

// A oneDNN primitive makes small objects to hand over its arguments (kernels/cpu/onednn.h), never room for
// tensors.
TEST(LaneRunner, OneDnnPrimitivesAllocateBookkeepingOnly) {
  for (int64_t micro_batch : {2, 64}) {
    HarnessOptions options;
    options.micro_batch = micro_batch;
    LaneHarness lane(TinyCnn, options);
    ASSERT_TRUE(lane.ok());
    EXPECT_LT(CostOfRun(lane).bytes, 4096 * lane.program().num_operators());
    LaneHarness gpt(TinyGpt, options);
    ASSERT_TRUE(gpt.ok());
    EXPECT_LT(CostOfRun(gpt).bytes, 4096 * gpt.program().num_operators());
  }
}

}  // namespace
}  // namespace lockstep::graph
