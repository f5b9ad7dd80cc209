#include "runtime/train/takeover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "runtime/train/run_point.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::train {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

RunPoint PointAt(int64_t step, Stage stage) {
  RunPoint point;
  point.stage = stage;
  point.counters.step = step;
  point.counters.best_step = step - 1;
  point.counters.best_metric = 1.0 / 3;
  point.loss = 0.1 * static_cast<double>(step);
  point.last.step = step;
  point.last.grad_norm = 1e-300;
  point.eval = {step, {{"loss", std::numeric_limits<double>::infinity()}, {"with space\n", -0.0}}};
  point.seconds = 1;
  point.steps_here = 100 + step;
  return point;
}

TEST(RunPoint, SurvivesItsText) {
  RunPoint point = PointAt(7, Stage::kEvaluated);
  point.signal = 15;
  point.size = 3;
  point.paused = point.admit = point.new_best = point.checkpoint_due = true;
  point.saved_step = 4;
  point.last.skipped = "loss_z";
  point.diverged = true;
  point.began_at = 3;
  point.began_from = "a folder/with spaces";
  point.counters.guard.loss.Add(1.0 / 3, 10);
  point.counters.guard.loss.Add(1e-300, 10);
  point.counters.guard.skips_in_a_row = 2;
  RunPoint read;
  ASSERT_TRUE(UnpackPoint(PackPoint(point), &read));
  EXPECT_EQ(PackPoint(read), PackPoint(point));
  EXPECT_EQ(read.counters.best_metric, 1.0 / 3);
  EXPECT_EQ(read.eval.values, point.eval.values);
  EXPECT_TRUE(std::signbit(read.eval.values[1].second));
  EXPECT_EQ(read.saved_step, 4);
  EXPECT_EQ(read.last.skipped, "loss_z");
  EXPECT_TRUE(read.diverged);
  EXPECT_EQ(read.began_at, 3);
  EXPECT_EQ(read.began_from, "a folder/with spaces");
  EXPECT_EQ(read.counters.guard.ToText(), point.counters.guard.ToText());
}

TEST(RunPoint, RefusesWhatIsNoPoint) {
  const std::string whole = PackPoint(PointAt(7, Stage::kSaved));
  RunPoint read;
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(UnpackPoint(whole.substr(0, size), &read));
  EXPECT_FALSE(UnpackPoint(whole + "1\n", &read));
  EXPECT_FALSE(UnpackPoint("9" + whole, &read)) << "no such stage";
}

TEST(RunPoint, IsFurtherByStepThenStage) {
  EXPECT_TRUE(IsFurther(PointAt(3, Stage::kCommitted), PointAt(2, Stage::kSaved)));
  EXPECT_TRUE(IsFurther(PointAt(3, Stage::kEvaluated), PointAt(3, Stage::kCommitted)));
  EXPECT_FALSE(IsFurther(PointAt(3, Stage::kSaved), PointAt(3, Stage::kSaved)));
  EXPECT_TRUE(IsFurther(PointAt(0, Stage::kSaved), PointAt(9, Stage::kNothing)))
      << "no state is never further";
}

struct Rank {
  RunPoint point;
  std::vector<float> weights, moments;
  std::vector<NamedBuffer> Buffers() {
    const Shape shape = *Shape::FromDims({static_cast<int64_t>(weights.size())});
    const Shape none = *Shape::FromDims({0});
    return {{"weights", DType::kF32, shape, weights.data()},
            {"none", DType::kF32, none, nullptr},
            {"moments", DType::kF32, shape, moments.data()}};
  }
};

// A rank whose tensors hold the number of its step.
Rank RankAt(int64_t step, Stage stage) {
  const auto value = static_cast<float>(step);
  return {PointAt(step, stage), std::vector<float>(1000, value), std::vector<float>(1000, -value)};
}

// All of them take over; returns what became of them, and the statuses.
std::vector<absl::Status> TakeOverAll(std::vector<Rank>& ranks, std::vector<TakeoverReport>* reports,
                                      std::vector<std::unique_ptr<FaultPoints>>* faults = nullptr) {
  reports->resize(ranks.size());
  testing::RunRanksOptions options;
  options.size = static_cast<int>(ranks.size());
  options.what = "takeover";
  return testing::StatusesOfRanks(options, [&](comm::Communicator& comm) -> absl::Status {
    Rank& rank = ranks[comm.rank()];
    auto report = TakeOver(comm, rank.Buffers(), &rank.point,
                           faults == nullptr ? nullptr : (*faults)[comm.rank()].get());
    if (report.ok()) {
      (*reports)[comm.rank()] = *report;
    } else {
      comm.Abort(PeerError(report.status().message()));
    }
    return report.status();
  });
}

TEST(TakeOver, BringsEveryRankToTheFurthest) {
  std::vector<Rank> ranks = {RankAt(5, Stage::kSaved), RankAt(6, Stage::kCommitted),
                             RankAt(0, Stage::kNothing), RankAt(6, Stage::kEvaluated)};
  std::vector<TakeoverReport> reports;
  EXPECT_THAT(TakeOverAll(ranks, &reports), Each(absl::OkStatus()));
  for (size_t i = 0; i < ranks.size(); ++i) {
    EXPECT_EQ(ranks[i].point.counters.step, 6);
    EXPECT_EQ(ranks[i].point.stage, Stage::kEvaluated);
    EXPECT_THAT(ranks[i].weights, Each(6.0f));
    EXPECT_THAT(ranks[i].moments, Each(-6.0f));
    EXPECT_EQ(reports[i].source, 3);
    EXPECT_THAT(reports[i].behind, ElementsAre(0));
    EXPECT_THAT(reports[i].fresh, ElementsAre(2));
  }
  EXPECT_EQ(ranks[0].point.steps_here, 105) << "what a process did itself stays its own";
}

TEST(TakeOver, MovesNothingWhereAllStandAlike) {
  std::vector<Rank> ranks = {RankAt(4, Stage::kCommitted), RankAt(4, Stage::kSaved),
                             RankAt(4, Stage::kCommitted)};
  ranks[0].weights[7] = 99;  // would be overwritten
  std::vector<TakeoverReport> reports;
  EXPECT_THAT(TakeOverAll(ranks, &reports), Each(absl::OkStatus()));
  EXPECT_EQ(ranks[0].weights[7], 99);
  EXPECT_EQ(ranks[0].point.stage, Stage::kSaved);
  EXPECT_EQ(reports[2].source, 1);
  EXPECT_THAT(reports[2].behind, IsEmpty());
}

TEST(TakeOver, MovesNothingWhereStatesDiffer) {
  std::vector<Rank> ranks = {RankAt(5, Stage::kSaved), RankAt(6, Stage::kCommitted),
                             RankAt(0, Stage::kNothing)};
  ranks[0].point.diverged = true;  // it alone heard of that
  std::vector<TakeoverReport> reports;
  EXPECT_THAT(TakeOverAll(ranks, &reports), Each(absl::OkStatus()));
  EXPECT_THAT(ranks[0].weights, Each(5.0f));
  EXPECT_THAT(ranks[2].weights, Each(0.0f));
  for (size_t i = 0; i < ranks.size(); ++i) {
    EXPECT_TRUE(reports[i].diverged);
    EXPECT_TRUE(ranks[i].point.diverged) << "all have to go back";
    EXPECT_EQ(ranks[i].point.counters.step, 6) << "so far the files go";
  }
}

TEST(TakeOver, FailsWhereNobodyHasAState) {
  std::vector<Rank> ranks = {RankAt(0, Stage::kNothing), RankAt(0, Stage::kNothing)};
  std::vector<TakeoverReport> reports;
  for (const absl::Status& status : TakeOverAll(ranks, &reports)) {
    EXPECT_EQ(TroubleOf(status), Trouble::kPeer) << status;
    EXPECT_THAT(status.message(), ::testing::HasSubstr("checkpoint"));
  }
}

TEST(TakeOver, ARankBehindKeepsItsStateWhenTheSourceFailsHalfWay) {
  std::vector<Rank> ranks = {RankAt(5, Stage::kSaved), RankAt(6, Stage::kCommitted),
                             RankAt(5, Stage::kSaved)};
  std::vector<std::unique_ptr<FaultPoints>> faults;
  for (int rank = 0; rank < 3; ++rank) {
    faults.push_back(std::make_unique<FaultPoints>(ParseFaults("recovery.transfer:1:*:error").value()));
    faults.back()->SetRank(rank);
  }
  std::vector<TakeoverReport> reports;
  for (const absl::Status& status : TakeOverAll(ranks, &reports, &faults)) EXPECT_FALSE(status.ok());
  for (const int rank : {0, 2}) {
    EXPECT_EQ(ranks[rank].point.counters.step, 5);
    EXPECT_THAT(ranks[rank].weights, Each(5.0f));
    EXPECT_THAT(ranks[rank].moments, Each(-5.0f));
  }
}

}  // namespace
}  // namespace lockstep::train
