#include "runtime/train/gradient_reducer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/reduce/reduce.h"
#include "runtime/core/rng.h"
#include "runtime/train/lane_team.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::train {
namespace {

constexpr int64_t kElements = 700;  // of the parameters; a tail of 20 follows

std::vector<Bucket> Buckets() {
  return PlanBuckets({64, 128, 400, 640, kElements}, /*bucket_elements=*/150, /*tail_elements=*/20);
}

// Element i of a lane's gradient: of all magnitudes, so that another order of addition gives other bits.
float Value(int step, int lane, int64_t i) {
  const uint64_t bits = Mix64(Mix64(static_cast<uint64_t>(step * 1000 + lane)) + static_cast<uint64_t>(i));
  const float fraction = static_cast<float>(bits >> 40) / (1 << 24) - 0.5f;
  return std::ldexp(fraction, static_cast<int>(bits % 24));
}
// Small whole numbers: any order gives the same sum.
float WholeValue(int step, int lane, int64_t i) {
  return static_cast<float>((step * 7 + lane * 5 + static_cast<int>(i)) % 64);
}

// Within the range of FP16, and mostly not representable in it.
float HalfRangeValue(int step, int lane, int64_t i) { return std::ldexp(Value(step, lane, i), -11); }

float Rounded(comm::Wire wire, float value) {
  if (wire != comm::Wire::kFull) comm::RoundTo(wire, &value, &value, 1);
  return value;
}

// The definition: every leaf and every sum of two rounded to the wire.
template <typename ValueFunction>
float TreeSum(comm::LaneRange node, int step, int64_t i, const ValueFunction& value,
              comm::Wire wire = comm::Wire::kFull) {
  if (node.size() == 1) return Rounded(wire, value(step, node.begin, i));
  const int split = comm::SplitOf(node);
  return Rounded(wire, TreeSum({node.begin, split}, step, i, value, wire) +
                           TreeSum({split, node.end}, step, i, value, wire));
}

void Dawdle(std::mt19937& random) {
  if (random() % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
}

// One step of one rank: lanes as Replica runs them, bucket by bucket, at random speeds.
template <typename ValueFunction>
absl::StatusOr<float*> RunStep(GradientReducer& reducer, LaneTeam& team, comm::LaneRange owned,
                               bool reproducible, int step, const ValueFunction& value) {
  reducer.BeginStep();
  std::atomic<int> next{owned.begin};
  team.Run([&](int thread) {
    std::mt19937 random(static_cast<uint32_t>(step * 100 + owned.begin * 10 + thread));
    const auto next_lane = [&](int previous) {
      if (reproducible) return next.fetch_add(1);
      return previous < 0 ? owned.begin + thread : previous + team.size();
    };
    for (int lane = next_lane(-1); lane < owned.end; lane = next_lane(lane)) {
      const GradientReducer::Slot slot = reducer.Acquire(lane, thread);
      for (size_t b = 0; b < reducer.buckets().size(); ++b) {
        const Bucket& bucket = reducer.buckets()[b];
        Dawdle(random);
        for (int64_t i = bucket.begin; i < bucket.end; ++i) {
          slot.gradient[i] = (slot.accumulate ? slot.gradient[i] : 0.0f) + value(step, lane, i);
        }
        reducer.BucketDone(lane, thread, static_cast<int>(b));
      }
    }
  });
  return reducer.Finish();
}

struct Case {
  int lanes, ranks, threads;
};

absl::Status RunCase(const Case& c, bool reproducible) {
  const testing::RunRanksOptions options{
      .size = c.ranks, .what = absl::StrCat(c.lanes, " lanes, ", c.ranks, " ranks, ", c.threads, " threads")};
  return testing::RunRanks(options, [&](comm::Communicator& communicator) -> absl::Status {
    const comm::LaneRange owned = comm::LanesOfRank(communicator.rank(), c.ranks, c.lanes);
    LaneTeam team(std::min(c.threads, owned.size()));
    ASSIGN_OR_RETURN(
        const auto reducer,
        GradientReducer::Create(
            &communicator, Buckets(),
            {.lanes = c.lanes, .threads = team.size(), .reproducible = reproducible, .algorithm = ""}));
    for (int step = 0; step < 3; ++step) {
      ASSIGN_OR_RETURN(const float* sum,
                       RunStep(*reducer, team, owned, reproducible, step, reproducible ? Value : WholeValue));
      for (int64_t i = 0; i < kElements + 20; ++i) {
        float expected = 0;
        if (reproducible) {
          expected = TreeSum({0, c.lanes}, step, i, Value);
        } else {
          for (int lane = 0; lane < c.lanes; ++lane) expected += WholeValue(step, lane, i);
        }
        if (std::memcmp(&expected, &sum[i], sizeof expected) != 0) {
          return absl::InternalError(absl::StrCat(options.what, ", step ", step, ", element ", i, ": ",
                                                  sum[i], " is not ", expected));
        }
      }
    }
    return absl::OkStatus();
  });
}

// Parameters of 6 norm chunks, and a tail: the layout of ShardElements().
graph::ParameterLayout ShardLayout() {
  graph::ParameterLayout layout;
  for (const size_t elements : {9000, 16, 8192}) {
    graph::ParameterLayout::Entry entry;
    entry.offset = layout.total_elements;
    entry.elements = elements;
    layout.entries.push_back(entry);
    layout.total_elements += (elements + 15) / 16 * 16;
  }
  return layout;
}

absl::Status RunShardCase(const Case& c, bool mirror, const std::string& backend) {
  const graph::ParameterLayout layout = ShardLayout();
  const auto total = static_cast<int64_t>(layout.total_elements);
  const auto buckets = PlanBuckets({9008, 9024, total}, /*bucket_elements=*/9000, /*tail_elements=*/20);
  const ShardPlan plan(layout, buckets, c.ranks);
  const testing::RunRanksOptions options{
      .size = c.ranks, .backend = backend, .what = absl::StrCat(c.lanes, " lanes, ", c.ranks, " ranks")};
  return testing::RunRanks(options, [&](comm::Communicator& communicator) -> absl::Status {
    const comm::LaneRange owned = comm::LanesOfRank(communicator.rank(), c.ranks, c.lanes);
    LaneTeam team(std::min(c.threads, owned.size()));
    ASSIGN_OR_RETURN(
        const auto reducer,
        GradientReducer::Create(
            &communicator, buckets,
            {.lanes = c.lanes, .threads = team.size(), .algorithm = "", .shards = &plan, .mirror = mirror}));
    for (int step = 0; step < 2; ++step) {
      ASSIGN_OR_RETURN(const float* sum, RunStep(*reducer, team, owned, true, step, Value));
      ElementRanges held = plan.Held(communicator.rank(), mirror);
      held.push_back({total, total + 20});  // everyone's
      for (const ElementRange& range : held) {
        for (int64_t i = range.begin; i < range.end; ++i) {
          const float expected = TreeSum({0, c.lanes}, step, i, Value);
          if (std::memcmp(&expected, &sum[i], sizeof expected) == 0) continue;
          return absl::InternalError(
              absl::StrCat(options.what, ", element ", i, ": ", sum[i], " is not ", expected));
        }
      }
    }
    return absl::OkStatus();
  });
}

TEST(GradientReducerTest, ShardsHaveTheBitsOfTheTreeToo) {
  for (const Case& c : std::vector<Case>{{8, 1, 2}, {8, 2, 2}, {8, 3, 1}, {6, 4, 2}, {8, 8, 1}}) {
    for (const char* backend : {"shm", "tcp"}) {
      for (const bool mirror : {false, true}) {
        const absl::Status status = RunShardCase(c, mirror, backend);
        EXPECT_TRUE(status.ok()) << status;
      }
    }
  }
}

TEST(GradientReducerTest, GivesTheBitsOfTheTreeAtEveryWorldAndThreadCount) {
  for (int lanes : {1, 6, 8}) {
    for (int ranks = 1; ranks <= lanes; ++ranks) {
      for (int threads = 1; threads <= 3; ++threads) {
        const absl::Status status = RunCase({lanes, ranks, threads}, /*reproducible=*/true);
        EXPECT_TRUE(status.ok()) << status;
      }
    }
  }
}

TEST(GradientReducerTest, ManyLanesOnFewThreadsNeverWaitForever) {
  for (const Case& c : std::vector<Case>{{32, 1, 1}, {32, 1, 4}, {32, 3, 2}, {31, 2, 3}, {24, 5, 4}}) {
    const absl::Status status = RunCase(c, /*reproducible=*/true);
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(GradientReducerTest, UnorderedSumsEveryLaneOnce) {
  for (const Case& c : std::vector<Case>{{1, 1, 1}, {8, 1, 3}, {8, 2, 2}, {8, 3, 2}, {7, 3, 3}, {8, 8, 1}}) {
    const absl::Status status = RunCase(c, /*reproducible=*/false);
    EXPECT_TRUE(status.ok()) << status;
  }
}

absl::Status RunWireCase(const Case& c, comm::Wire wire, const std::string& backend) {
  const testing::RunRanksOptions options{
      .size = c.ranks,
      .backend = c.ranks == 1 ? "auto" : backend,
      .what = absl::StrCat(c.lanes, " lanes, ", c.ranks, " ranks, ", c.threads, " threads, ", backend)};
  return testing::RunRanks(options, [&](comm::Communicator& communicator) -> absl::Status {
    const comm::LaneRange owned = comm::LanesOfRank(communicator.rank(), c.ranks, c.lanes);
    LaneTeam team(std::min(c.threads, owned.size()));
    ASSIGN_OR_RETURN(
        const auto reducer,
        GradientReducer::Create(
            &communicator, Buckets(),
            {.lanes = c.lanes, .threads = team.size(), .reproducible = true, .algorithm = "", .wire = wire}));
    for (int step = 0; step < 2; ++step) {
      ASSIGN_OR_RETURN(const float* sum, RunStep(*reducer, team, owned, true, step, HalfRangeValue));
      for (int64_t i = 0; i < kElements + 20; ++i) {
        // The tail is no gradient and keeps all its bits.
        const comm::Wire rounded = i < kElements ? wire : comm::Wire::kFull;
        const float expected = TreeSum({0, c.lanes}, step, i, HalfRangeValue, rounded);
        if (std::memcmp(&expected, &sum[i], sizeof expected) != 0) {
          return absl::InternalError(absl::StrCat(options.what, ", step ", step, ", element ", i, ": ",
                                                  sum[i], " is not ", expected));
        }
      }
    }
    return absl::OkStatus();
  });
}

TEST(GradientReducerTest, RoundsEveryNodeToTheWireWhoeverAddsIt) {
  for (const comm::Wire wire : {comm::Wire::kBF16, comm::Wire::kF16}) {
    for (const char* backend : {"shm", "tcp"}) {
      for (int lanes : {1, 6, 8}) {
        for (int ranks = 1; ranks <= lanes; ranks += ranks < 4 ? 1 : 2) {
          for (int threads = 1; threads <= 2; ++threads) {
            const absl::Status status = RunWireCase({lanes, ranks, threads}, wire, backend);
            EXPECT_TRUE(status.ok()) << status;
          }
        }
      }
    }
  }
}

// UNORDERED: lanes in fp32, then the rank's sum is rounded once, also alone.
TEST(GradientReducerTest, UnorderedRoundsARanksSumOnce) {
  for (const comm::Wire wire : {comm::Wire::kBF16, comm::Wire::kF16}) {
    const absl::Status status =
        testing::RunRanks({.size = 2}, [&](comm::Communicator& communicator) -> absl::Status {
          const comm::LaneRange owned = comm::LanesOfRank(communicator.rank(), 2, 6);
          LaneTeam team(2);
          ASSIGN_OR_RETURN(
              const auto reducer,
              GradientReducer::Create(
                  &communicator, Buckets(),
                  {.lanes = 6, .threads = 2, .reproducible = false, .algorithm = "", .wire = wire}));
          ASSIGN_OR_RETURN(const float* sum, RunStep(*reducer, team, owned, false, 0, WholeValue));
          for (int64_t i = 0; i < kElements + 20; ++i) {
            const comm::Wire rounded = i < kElements ? wire : comm::Wire::kFull;
            float ranks[2] = {};  // exact: small whole numbers
            for (int lane = 0; lane < 6; ++lane) ranks[lane / 3] += WholeValue(0, lane, i);
            const float expected = Rounded(rounded, Rounded(rounded, ranks[0]) + Rounded(rounded, ranks[1]));
            if (sum[i] != expected)
              return absl::InternalError(absl::StrCat("element ", i, ": ", sum[i], " is not ", expected));
          }
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(GradientReducerTest, WithoutExchangeARankKeepsItsOwnSum) {
  const absl::Status status =
      testing::RunRanks({.size = 3}, [&](comm::Communicator& communicator) -> absl::Status {
        const comm::LaneRange owned = comm::LanesOfRank(communicator.rank(), 3, 8);
        LaneTeam team(2);
        ASSIGN_OR_RETURN(
            const auto reducer,
            GradientReducer::Create(
                &communicator, Buckets(),
                {.lanes = 8, .threads = 2, .reproducible = false, .algorithm = "", .exchange = false}));
        ASSIGN_OR_RETURN(const float* sum, RunStep(*reducer, team, owned, false, 0, WholeValue));
        for (int64_t i = 0; i < kElements + 20; ++i) {
          float expected = 0;
          for (int lane = owned.begin; lane < owned.end; ++lane) expected += WholeValue(0, lane, i);
          EXPECT_EQ(sum[i], expected) << i;
        }
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
}

// A thread may be held up between drawing its lane and asking for a buffer. If those with later lanes took all
// buffers meanwhile, they would wait for its lane for ever.
TEST(GradientReducerTest, BuffersAreGivenInTheOrderOfLanes) {
  const absl::Status status =
      testing::RunRanks({.size = 1}, [&](comm::Communicator& communicator) -> absl::Status {
        ASSIGN_OR_RETURN(
            const auto reducer,
            GradientReducer::Create(&communicator, Buckets(),
                                    {.lanes = 8, .threads = 2, .reproducible = true, .algorithm = ""}));
        reducer->BeginStep();
        const auto run = [&](int lane, int thread) {
          if (reducer->Acquire(lane, thread).gradient == nullptr) return;
          for (size_t b = 0; b < reducer->buckets().size(); ++b) {
            reducer->BucketDone(lane, thread, static_cast<int>(b));
          }
        };
        std::atomic<int> done{0};
        std::thread ahead([&] {
          for (int lane = 1; lane < 8; ++lane) {
            run(lane, 1);
            ++done;
          }
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        EXPECT_EQ(done, 0) << "a later lane has a buffer before the first one";
        run(0, 0);
        ahead.join();
        return reducer->Finish().status();
      });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(GradientReducerTest, PlansAboutLogarithmicallyManyBuffers) {
  EXPECT_EQ(PlannedSlots({0, 1}, 8, 1), 1);
  EXPECT_EQ(PlannedSlots({0, 8}, 8, 1), 4);
  EXPECT_EQ(PlannedSlots({0, 64}, 64, 1), 7);
  EXPECT_EQ(PlannedSlots({0, 8}, 8, 3), 6);
  EXPECT_EQ(PlannedSlots({0, 8}, 8, 16), 8) << "never more than lanes";
  // Lanes 3 .. 5 of 8 are three parts that stay until the end.
  EXPECT_EQ(PlannedSlots({3, 6}, 8, 1), static_cast<int>(comm::MaximalSubtrees({3, 6}, 8).size()) + 1);
}

TEST(GradientReducerTest, CancelWakesWhoWaitsForABuffer) {
  const absl::Status status =
      testing::RunRanks({.size = 1}, [](comm::Communicator& communicator) -> absl::Status {
        ASSIGN_OR_RETURN(
            const auto reducer,
            GradientReducer::Create(&communicator, Buckets(),
                                    {.lanes = 8, .threads = 1, .reproducible = true, .algorithm = ""}));
        reducer->BeginStep();
        for (int lane = 0; lane < reducer->slots(); ++lane) {
          if (reducer->Acquire(lane, 0).gradient == nullptr)
            return absl::InternalError("a buffer was missing");
        }
        GradientReducer::Slot slot{.gradient = reinterpret_cast<float*>(8)};
        std::thread waiting([&] { slot = reducer->Acquire(reducer->slots(), 0); });
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        reducer->Cancel();
        waiting.join();
        EXPECT_EQ(slot.gradient, nullptr);
        reducer->BeginStep();  // the next step starts over
        EXPECT_NE(reducer->Acquire(0, 0).gradient, nullptr);
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace lockstep::train
