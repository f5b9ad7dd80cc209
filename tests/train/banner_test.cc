#include "runtime/train/banner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::train {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// 2 ranks on a machine of 2 cores, each bound to one: all fits.
BannerFacts TwoRanks() {
  BannerFacts facts;
  facts.ranks = facts.local_ranks = facts.machine_cores = 2;
  facts.transport = "shm";
  facts.lanes = 8;
  facts.global_batch = 64;
  facts.launcher = "openmpi";
  return facts;
}

TEST(BannerLines, SaysRanksTransportLanesAndBatch) {
  EXPECT_THAT(BannerLines(TwoRanks()),
              ElementsAre("2 ranks on 1 machine, shm, 8 lanes (4 a rank), batch 64 = 8 x 8"));
}

TEST(BannerLines, NamesFallbacksThreadsAndUnevenLanes) {
  BannerFacts facts = TwoRanks();
  facts.ranks = 3;
  facts.machines = 2;
  facts.threads = 2;
  facts.accumulate = 4;
  facts.transport = "tcp over eth0";
  facts.fallbacks = {"shm: no memory; tcp instead"};
  EXPECT_THAT(BannerLines(facts),
              ElementsAre("3 ranks on 2 machines, tcp over eth0, 8 lanes (2 to 3 a rank), 2 threads a rank, "
                          "batch 64 = 8 x 4 x 2",
                          "fallback: shm: no memory; tcp instead"));
}

TEST(BannerLines, AWorldOfOneHasNoTransport) {
  BannerFacts facts = TwoRanks();
  facts.ranks = 1;
  EXPECT_THAT(BannerLines(facts), ElementsAre("1 rank on 1 machine, 8 lanes (8 a rank), batch 64 = 8 x 8"));
}

TEST(LaneEfficiency, IsLanesOverWorkersTimesRounds) {
  EXPECT_DOUBLE_EQ(LaneEfficiency(8, 2, 1), 1);
  EXPECT_DOUBLE_EQ(LaneEfficiency(8, 3, 1), 8.0 / 9);
  EXPECT_DOUBLE_EQ(LaneEfficiency(32, 24, 1), 32.0 / 48);
  EXPECT_DOUBLE_EQ(LaneEfficiency(8, 4, 4), 0.5);
}

TEST(BannerAdvice, IsSilentWhenAllFits) { EXPECT_THAT(BannerAdvice(TwoRanks()), IsEmpty()); }

TEST(BannerAdvice, NamesBetterRankAndLaneCounts) {
  BannerFacts facts = TwoRanks();
  facts.ranks = 24;
  facts.machines = facts.local_ranks = 12;
  facts.local_ranks = facts.machine_cores = 2;
  facts.lanes = 32;
  facts.global_batch = 4608;
  EXPECT_THAT(BannerAdvice(facts), ElementsAre("32 lanes on 24 ranks: 67 % efficient; use 16 or 32 ranks, or "
                                               "lanes: 48 (changes the result)"));
}

TEST(BannerAdvice, OffersNoLanesThatDoNotDivideTheBatch) {
  BannerFacts facts = TwoRanks();
  facts.ranks = facts.local_ranks = facts.machine_cores = 3;
  facts.lanes = 4;
  const auto advice = BannerAdvice(facts);
  ASSERT_EQ(advice.size(), 1);
  EXPECT_THAT(advice[0], AllOf(HasSubstr("67 %"), HasSubstr("2 or 4 ranks"), Not(HasSubstr("lanes: "))));
}

TEST(BannerAdvice, SaysThatMpirunBoundARankToTooFewCores) {
  BannerFacts facts = TwoRanks();
  facts.ranks = facts.local_ranks = 1;
  facts.machine_cores = 8;
  EXPECT_THAT(BannerAdvice(facts), ElementsAre(AllOf(HasSubstr("mpirun bound this rank to 1 of 8 cores"),
                                                     HasSubstr("--bind-to none"), HasSubstr("PE=8"))));
  facts.cores = facts.threads = 8;
  EXPECT_THAT(BannerAdvice(facts), IsEmpty());
}

TEST(BannerAdvice, SaysThatThreadsShareCores) {
  BannerFacts facts = TwoRanks();
  facts.ranks = facts.local_ranks = 1;
  facts.cores = 2;
  facts.threads = 8;
  facts.threads_set = true;
  EXPECT_THAT(BannerAdvice(facts), ElementsAre(HasSubstr("threads share cores")));
  facts.cores = 1;
  EXPECT_THAT(BannerAdvice(facts), ElementsAre(HasSubstr("bound this rank to 1 of 2 cores for 8 threads")));
}

TEST(BannerAdvice, SaysThatLanesLeaveCoresIdle) {
  BannerFacts facts = TwoRanks();
  facts.lanes = 2;
  facts.cores = facts.machine_cores = 16;
  EXPECT_THAT(BannerAdvice(facts),
              ElementsAre(AllOf(HasSubstr("14 cores of 16 idle"), HasSubstr("2 lanes (1 a rank)"))));
  facts.threads_set = true;
  EXPECT_THAT(BannerAdvice(facts), IsEmpty()) << "whoever sets the threads knows how many cores stay free";
}

}  // namespace
}  // namespace lockstep::train
