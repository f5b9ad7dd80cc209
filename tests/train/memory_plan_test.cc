#include "runtime/train/memory_plan.h"

#include <gtest/gtest.h>

namespace lockstep::train {
namespace {

RankMemory Example() {
  RankMemory memory;
  memory.parameters = 40 << 20;
  memory.gradient_buffer = 40 << 20;
  memory.gradient_buffers = 2;
  memory.optimizer = memory.whole_optimizer = 80 << 20;
  memory.activations = 5 << 20;
  memory.threads = 2;
  return memory;
}

TEST(MemoryPlan, NamesWhatThereIs) {
  RankMemory memory = Example();
  EXPECT_EQ(memory.total(), int64_t{210} << 20);
  EXPECT_EQ(DescribeMemory(memory),
            "memory of a rank: 210 MiB = parameters 40 + gradients 80 (2 buffers) + optimizer 80 + "
            "activations 10 (2 "
            "threads)");
  memory.optimizer = 0;
  memory.gradient_buffers = 1;
  memory.threads = 1;
  memory.average = 3 << 19;
  memory.unsent = 1 << 20;
  EXPECT_EQ(DescribeMemory(memory),
            "memory of a rank: 87.5 MiB = parameters 40 + gradients 40 (1 buffer) + moving average 1.5 + "
            "compression 1 "
            "+ activations 5");
}

TEST(MemoryPlan, SaysWhatSharesOfTheOptimizerARankHolds) {
  RankMemory memory = Example();
  memory.sharded = true;
  memory.optimizer /= 4;
  EXPECT_EQ(
      DescribeMemory(memory),
      "memory of a rank: 150 MiB = parameters 40 + gradients 80 (2 buffers) + optimizer 20 of 80 (sharded) + "
      "activations 10 (2 threads)");
  memory.mirrored = true;
  EXPECT_NE(DescribeMemory(memory).find("(sharded, mirrored)"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::train
