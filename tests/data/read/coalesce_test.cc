#include "runtime/data/read/coalesce.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;

TEST(CoalesceTest, NeighboursBecomeOneRead) {
  const ReadPlan plan = Coalesce({{0, 100, 50}, {0, 150, 50}, {0, 210, 10}, {0, 300, 10}}, 10, 1000);
  EXPECT_THAT(plan.reads, ElementsAre(Place{0, 100, 120}, Place{0, 300, 10}));
  EXPECT_THAT(plan.read_of, ElementsAre(0, 0, 0, 1));
}

TEST(CoalesceTest, ReadsStandInTheOrderOfNeed) {
  const ReadPlan plan = Coalesce({{1, 500, 10}, {0, 900, 10}, {1, 0, 10}, {0, 905, 20}}, 0, 1000);
  EXPECT_THAT(plan.reads, ElementsAre(Place{1, 500, 10}, Place{0, 900, 25}, Place{1, 0, 10}));
  EXPECT_THAT(plan.read_of, ElementsAre(0, 1, 2, 1));
}

TEST(CoalesceTest, FilesAreKeptApart) {
  EXPECT_EQ(Coalesce({{0, 0, 10}, {1, 10, 10}}, 100, 1000).reads.size(), 2u);
}

TEST(CoalesceTest, ALargeRecordIsReadByItself) {
  const ReadPlan plan = Coalesce({{0, 0, 10}, {0, 10, 5000}, {0, 5010, 10}}, 0, 100);
  EXPECT_THAT(plan.reads, ElementsAre(Place{0, 0, 10}, Place{0, 10, 5000}, Place{0, 5010, 10}));
}

TEST(CoalesceTest, TheSamePlaceTwiceIsOneRead) {
  const ReadPlan plan = Coalesce({{0, 7, 5}, {0, 7, 5}}, 0, 1);
  EXPECT_THAT(plan.reads, ElementsAre(Place{0, 7, 5}));
  EXPECT_THAT(plan.read_of, ElementsAre(0, 0));
}

TEST(CoalesceTest, NothingWantedIsNothingRead) { EXPECT_TRUE(Coalesce({}, 10, 10).reads.empty()); }

// Whatever the places: each lies in its read, no read is larger than allowed unless one record is, and none reads more than
// the gaps beside what is wanted.
TEST(CoalesceTest, CoversEverythingWithinItsLimits) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    const uint64_t gap = random() % 50, most = 1 + random() % 400;
    std::vector<Place> wanted;
    for (uint64_t i = random() % 100; i > 0; --i)
      wanted.push_back({static_cast<int>(random() % 3), random() % 2000, 1 + random() % 80});
    const ReadPlan plan = Coalesce(wanted, gap, most);
    std::vector<int> first(plan.reads.size(), -1);
    for (size_t i = 0; i < wanted.size(); ++i) {
      const Place& read = plan.reads[static_cast<size_t>(plan.read_of[i])];
      ASSERT_EQ(read.file, wanted[i].file);
      ASSERT_LE(read.offset, wanted[i].offset);
      ASSERT_GE(read.end(), wanted[i].end());
      ASSERT_LE(read.size_bytes, std::max<uint64_t>(most, 80));
      if (first[static_cast<size_t>(plan.read_of[i])] < 0)
        first[static_cast<size_t>(plan.read_of[i])] = static_cast<int>(i);
    }
    ASSERT_TRUE(std::is_sorted(first.begin(), first.end()));
  }
}

}  // namespace
}  // namespace lockstep::data
