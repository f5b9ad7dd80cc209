#include "runtime/train/bucket_plan.h"

#include <gtest/gtest.h>

namespace lockstep::train {
namespace {

TEST(BucketPlanTest, CutsAfterEnoughElementsAndNeverInsideAParameter) {
  const auto buckets = PlanBuckets({16, 48, 64, 1088, 1104}, 50, 0);
  ASSERT_EQ(buckets.size(), 3);
  EXPECT_EQ(buckets[0].begin, 0);
  EXPECT_EQ(buckets[0].end, 64);
  EXPECT_EQ(buckets[0].last_parameter, 2);
  EXPECT_EQ(buckets[1].end, 1088);
  EXPECT_EQ(buckets[1].last_parameter, 3);
  EXPECT_EQ(buckets[2].end, 1104);
  EXPECT_EQ(buckets[2].last_parameter, 4);
}

TEST(BucketPlanTest, SideResultsAreABucketOfTheirOwn) {
  const auto buckets = PlanBuckets({16, 32}, 1 << 20, 48);
  ASSERT_EQ(buckets.size(), 2);
  EXPECT_EQ(buckets[1].begin, 32);
  EXPECT_EQ(buckets[1].end, 80);
  EXPECT_EQ(buckets[1].last_parameter, -1);
}

TEST(BucketPlanTest, EveryElementIsInOneBucketWhateverTheSize) {
  const std::vector<int64_t> ends = {16, 32, 480, 496, 4096, 4112};
  for (int64_t size : {1, 16, 17, 400, 5000}) {
    int64_t at = 0;
    for (const Bucket& bucket : PlanBuckets(ends, size, 7)) {
      EXPECT_EQ(bucket.begin, at);
      EXPECT_GT(bucket.size(), 0);
      at = bucket.end;
    }
    EXPECT_EQ(at, 4112 + 7) << "bucket size " << size;
  }
}

}  // namespace
}  // namespace lockstep::train
