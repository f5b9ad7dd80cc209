#include "runtime/graph/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/core/rng.h"

namespace lockstep::graph {
namespace {

using testing::HasSubstr;

TEST(MemoryPlan, BuffersThatFollowEachOtherShareMemory) {
  const std::vector<BufferLife> buffers = {{1024, 0, 1}, {1024, 1, 2}, {1024, 2, 3}, {64, 0, 3}};
  const MemoryPlan plan = PlanMemory(buffers);
  EXPECT_EQ(plan.arena_bytes, 2048u + 64);
  EXPECT_EQ(plan.peak_bytes, 2048u + 64);
  EXPECT_EQ(plan.naive_bytes, 3u * 1024 + 64);
  EXPECT_EQ(plan.offsets_bytes[0], plan.offsets_bytes[2]);
  EXPECT_TRUE(CheckMemoryPlan(buffers, plan).ok());
}

TEST(MemoryPlan, FillsTheSmallestGap) {
  // The three large ones live throughout; two of four holes open between them.
  const std::vector<BufferLife> buffers = {{4096, 0, 9}, {512, 0, 2}, {2048, 0, 9}, {256, 0, 2}, {192, 3, 9}};
  const MemoryPlan plan = PlanMemory(buffers);
  EXPECT_EQ(plan.offsets_bytes[4], plan.offsets_bytes[1]);  // 512 is placed before 256, so its hole is inside
  EXPECT_TRUE(CheckMemoryPlan(buffers, plan).ok());
}

TEST(MemoryPlan, NothingNeedsNothing) {
  EXPECT_EQ(PlanMemory({}).arena_bytes, 0u);
  EXPECT_EQ(PlanMemory({}).peak_bytes, 0u);
}

TEST(MemoryPlan, EmptyBuffersHaveAPlaceToo) {
  const std::vector<BufferLife> buffers = {{0, 0, 0}, {0, 0, 0}};
  const MemoryPlan plan = PlanMemory(buffers);
  EXPECT_NE(plan.offsets_bytes[0], plan.offsets_bytes[1]);
}

TEST(CheckMemoryPlan, FindsWhatIsWrong) {
  const std::vector<BufferLife> buffers = {{128, 0, 1}, {128, 1, 2}};
  MemoryPlan plan = PlanMemory(buffers);
  plan.offsets_bytes = {0, 64};
  EXPECT_THAT(CheckMemoryPlan(buffers, plan).message(), HasSubstr("buffers 0 and 1 overlap"));
  plan.offsets_bytes = {0, 200};
  EXPECT_THAT(CheckMemoryPlan(buffers, plan).message(), HasSubstr("buffer 1 at 200"));
  plan.offsets_bytes = {0, 256};
  EXPECT_THAT(CheckMemoryPlan(buffers, plan).message(), HasSubstr("misaligned or outside"));
}

// Like activations of a forward pass and gradients of a backward pass: nested lives, and short ones between.
std::vector<BufferLife> RandomLives(uint64_t seed) {
  uint64_t counter = 0;
  const auto draw = [&](uint64_t limit) { return Mix64(Mix64(seed) + counter++) % limit; };
  const int steps = static_cast<int>(2 + draw(120));
  std::vector<BufferLife> buffers;
  for (uint64_t i = 0, count = 1 + draw(200); i < count; ++i) {
    BufferLife life;
    life.size_bytes = draw(4) == 0 ? draw(100000) : draw(64) * 64;
    life.first = static_cast<int>(draw(static_cast<uint64_t>(steps)));
    if (draw(2) == 0) {
      life.last = steps - 1 - life.first;  // a saved activation
      if (life.last < life.first) std::swap(life.first, life.last);
    } else {
      life.last = std::min<int>(steps - 1, life.first + static_cast<int>(draw(4)));
    }
    buffers.push_back(life);
  }
  return buffers;
}

TEST(MemoryPlan, RandomPlansAreValidAndNearTheBound) {
  double arena = 0, peak = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const std::vector<BufferLife> buffers = RandomLives(seed);
    const MemoryPlan plan = PlanMemory(buffers);
    ASSERT_TRUE(CheckMemoryPlan(buffers, plan).ok()) << seed << ": " << CheckMemoryPlan(buffers, plan);
    ASSERT_GE(plan.arena_bytes, plan.peak_bytes) << seed;
    ASSERT_LE(plan.arena_bytes, plan.naive_bytes) << seed;
    arena += static_cast<double>(plan.arena_bytes);
    peak += static_cast<double>(plan.peak_bytes);
  }
  EXPECT_LT(arena / peak, 1.1);  // on average; fragmentation is what remains
}

}  // namespace
}  // namespace lockstep::graph
