#include "runtime/train/step_vote.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/plan/lane_tree.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::train {
namespace {

constexpr int kLanes = 8;

// Sums of many magnitudes, so that another order of addition gives other bits.
std::vector<graph::LaneResult> AllLanes(int metrics) {
  std::mt19937 random(7);
  std::lognormal_distribution<double> number(0, 9);
  std::vector<graph::LaneResult> lanes(kLanes);
  for (graph::LaneResult& lane : lanes) {
    lane.loss.sum = number(random);
    lane.loss.weight = number(random);
    lane.metrics.resize(metrics);
    for (graph::LaneSum& metric : lane.metrics) {
      metric.sum = -number(random);
      metric.weight = number(random);
    }
  }
  return lanes;
}

Ballot BallotOf(const comm::Communicator& communicator, int metrics) {
  const std::vector<graph::LaneResult> all = AllLanes(metrics);
  const comm::LaneRange owned = comm::LanesOfRank(communicator.rank(), communicator.size(), kLanes);
  return {.lanes = {all.begin() + owned.begin, all.begin() + owned.end}};
}

TEST(StepVoteTest, AddsLanesInLaneOrderAtEveryWorldSize) {
  for (int metrics : {0, 1, 3}) {
    graph::LaneResult expected;
    expected.metrics.resize(metrics);
    for (const graph::LaneResult& lane : AllLanes(metrics)) {
      expected.loss.sum += lane.loss.sum;
      expected.loss.weight += lane.loss.weight;
      for (int m = 0; m < metrics; ++m) {
        expected.metrics[m].sum += lane.metrics[m].sum;
        expected.metrics[m].weight += lane.metrics[m].weight;
      }
    }
    for (int ranks = 1; ranks <= kLanes; ++ranks) {
      const absl::Status status =
          testing::RunRanks({.size = ranks}, [&](comm::Communicator& communicator) -> absl::Status {
            ASSIGN_OR_RETURN(const Verdict verdict,
                             Vote(communicator, kLanes, metrics, BallotOf(communicator, metrics)));
            EXPECT_EQ(verdict.sums.loss.sum, expected.loss.sum) << ranks;
            EXPECT_EQ(verdict.sums.loss.weight, expected.loss.weight) << ranks;
            for (int m = 0; m < metrics; ++m) {
              EXPECT_EQ(verdict.sums.metrics[m].sum, expected.metrics[m].sum) << ranks;
              EXPECT_EQ(verdict.sums.metrics[m].weight, expected.metrics[m].weight) << ranks;
            }
            EXPECT_EQ(verdict.signal, 0);
            EXPECT_FALSE(verdict.checkpoint_due);
            return absl::OkStatus();
          });
      EXPECT_TRUE(status.ok()) << status;
    }
  }
}

TEST(StepVoteTest, OneRanksSignalIsEveryones) {
  for (int told = 0; told < 4; ++told) {
    const absl::Status status =
        testing::RunRanks({.size = 4}, [&](comm::Communicator& communicator) -> absl::Status {
          Ballot ballot = BallotOf(communicator, 1);
          if (communicator.rank() == told) ballot.signal = SIGINT;
          if (communicator.rank() == 3) ballot.signal = SIGTERM;
          ASSIGN_OR_RETURN(const Verdict verdict, Vote(communicator, kLanes, 1, ballot));
          EXPECT_EQ(verdict.signal, SIGTERM) << "the largest, not the sum";
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(StepVoteTest, OnlyTheClockOfRankZeroAsksForACheckpoint) {
  for (int due = 0; due < 3; ++due) {
    const absl::Status status =
        testing::RunRanks({.size = 3}, [&](comm::Communicator& communicator) -> absl::Status {
          Ballot ballot = BallotOf(communicator, 0);
          ballot.checkpoint_due = communicator.rank() == due;
          ASSIGN_OR_RETURN(const Verdict verdict, Vote(communicator, kLanes, 0, ballot));
          EXPECT_EQ(verdict.checkpoint_due, due == 0);
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
  }
}

}  // namespace
}  // namespace lockstep::train
