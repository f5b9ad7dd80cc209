#include "runtime/train/integrity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <numeric>

#include "tests/testing/memory_file_system.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two tensors, the first of more than one piece.
struct State {
  std::vector<float> weight = std::vector<float>(150000), bias = std::vector<float>(3);
  State() {
    std::iota(weight.begin(), weight.end(), 1.0f);
    std::iota(bias.begin(), bias.end(), -1.0f);
  }
  std::vector<NamedBuffer> Buffers() {
    return {{"weight", DType::kF32, Shape({150000}), weight.data()},
            {"bias", DType::kF32, Shape({3}), bias.data()}};
  }
};

void Flip(float* value, int bit) {
  uint32_t bits = 0;
  std::memcpy(&bits, value, sizeof(bits));
  bits ^= 1u << bit;
  std::memcpy(value, &bits, sizeof(bits));
}

IntegrityConfig Every(int64_t steps) {
  IntegrityConfig config;
  config.set_every_steps(steps);
  return config;
}

TEST(FingerprintTest, DoesNotDependOnThreadsAndChangesWithEveryBit) {
  State state;
  LaneTeam one(1), three(3);
  const Counters counters = {{"skipped_steps", int64_t{2}}, {"best_metric", 0.5}};
  const StateFingerprint base = FingerprintState(one, state.Buffers(), 7, counters);
  EXPECT_EQ(FingerprintState(three, state.Buffers(), 7, counters).whole, base.whole);
  for (float* const value : {&state.weight[0], &state.weight[149999], &state.bias[2]}) {
    for (const int bit : {0, 22, 31}) {
      Flip(value, bit);
      const StateFingerprint other = FingerprintState(three, state.Buffers(), 7, counters);
      EXPECT_NE(other.whole, base.whole);
      EXPECT_EQ(other.tensors[0] != base.tensors[0], value != &state.bias[2]);
      Flip(value, bit);
    }
  }
  EXPECT_NE(FingerprintState(one, state.Buffers(), 8, counters).whole, base.whole);
  EXPECT_NE(FingerprintState(one, state.Buffers(), 7, {{"skipped_steps", int64_t{3}}}).whole, base.whole);
}

TEST(OutsideMajorityTest, NeedsAStrictMajority) {
  EXPECT_THAT(OutsideMajority({5, 5, 5}), IsEmpty());
  EXPECT_THAT(OutsideMajority({5, 4, 5}), ElementsAre(1));
  EXPECT_THAT(OutsideMajority({5, 4}), IsEmpty());
  EXPECT_THAT(OutsideMajority({5, 5, 4, 4}), IsEmpty());
  EXPECT_THAT(OutsideMajority({5, 1, 5, 2, 5}), ElementsAre(1, 3));
}

class IntegrityTest : public ::testing::Test {
 protected:
  // Runs `body` on ranks with a team and a log of their own.
  using Body = std::function<absl::Status(comm::Communicator&, Integrity&, LaneTeam&, Logger&)>;
  absl::Status Run(int ranks, const IntegrityConfig& config, const Body& body) {
    return testing::RunRanks({.size = ranks}, [&](comm::Communicator& communicator) -> absl::Status {
      LaneTeam team(1);
      const auto log = MakeStderrLogger(communicator.rank(), LogLevel::kError);
      Integrity integrity(config, &communicator, /*lanes=*/8, &fs_,
                          communicator.rank() == 0 ? "integrity.jsonl" : "");
      return body(communicator, integrity, team, *log);
    });
  }
  std::string Events() {
    auto text = ReadWholeFile(&fs_, "integrity.jsonl");
    return text.ok() ? *text : "";
  }

  testing::MemoryFileSystem fs_;
};

TEST_F(IntegrityTest, IsDueEverySoManySteps) {
  const absl::Status status = Run(2, Every(5), [](auto& comm, Integrity& integrity, auto& team, auto& log) {
    (void)comm;
    EXPECT_TRUE(integrity.enabled());
    EXPECT_FALSE(integrity.Due(4));
    EXPECT_TRUE(integrity.Due(5));
    State state;
    auto same = integrity.Compare(team, state.Buffers(), 5, {}, &log);
    EXPECT_TRUE(same.ok() && *same);
    EXPECT_FALSE(integrity.Due(5)) << "done already";
    EXPECT_TRUE(integrity.HasAgreedOn(5));
    return same.status();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Run(1, Every(5), [](auto&, Integrity& integrity, auto&, auto&) {
                EXPECT_FALSE(integrity.enabled()) << "nobody to compare with";
                return absl::OkStatus();
              }).ok());
  EXPECT_TRUE(Run(2, Every(0), [](auto&, Integrity& integrity, auto&, auto&) {
                EXPECT_FALSE(integrity.enabled());
                return absl::OkStatus();
              }).ok());
}

TEST_F(IntegrityTest, TheMajorityNamesTheCulprit) {
  const absl::Status status =
      Run(4, Every(5), [](auto& comm, Integrity& integrity, auto& team, auto& log) -> absl::Status {
        State state;
        ASSIGN_OR_RETURN(bool same, integrity.Compare(team, state.Buffers(), 5, {}, &log));
        EXPECT_TRUE(same);
        if (comm.rank() == 2) Flip(&state.bias[1], 3);
        ASSIGN_OR_RETURN(same, integrity.Compare(team, state.Buffers(), 10, {}, &log));
        EXPECT_FALSE(same);
        EXPECT_EQ(integrity.divergence().step, 10);
        EXPECT_EQ(integrity.divergence().last_agreed, 5);
        EXPECT_THAT(integrity.divergence().suspects, ElementsAre(2));
        EXPECT_THAT(integrity.divergence().tensors, ElementsAre("bias"));
        RETURN_IF_ERROR(integrity.BeginReplay());
        EXPECT_TRUE(integrity.Due(10));
        return integrity.Compare(team, State().Buffers(), 10, {}, &log).status();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(Events(), HasSubstr(R"("event": "diverged", "last_agreed": 5, "outside_majority": [2])"));
  EXPECT_THAT(Events(), HasSubstr(R"("event": "healed", "culprits": [2])"));
}

// Of two ranks nobody has a majority; the losses of its lanes tell who computed with wrong parameters.
TEST_F(IntegrityTest, TheReplayNamesTheCulpritOfTwo) {
  const absl::Status status =
      Run(2, Every(5), [](auto& comm, Integrity& integrity, auto& team, auto& log) -> absl::Status {
        const std::vector<double> good = {1, 2, 3, 4, 5, 6, 7, 8};
        std::vector<double> bad = good;
        bad[5] = 6.5;
        bad[7] = 8.5;
        const std::vector<double> spoilt = {9, 9, 9, 9, 9, 9, 9, 9};  // what came of it on all ranks
        integrity.Witness(3, good);
        integrity.Witness(4, bad);
        integrity.Witness(5, spoilt);
        State state;
        Flip(&state.weight[comm.rank()], 1);  // neither rank has the true state any more
        ASSIGN_OR_RETURN(bool same, integrity.Compare(team, state.Buffers(), 5, {}, &log));
        EXPECT_FALSE(same);
        EXPECT_THAT(integrity.divergence().suspects, IsEmpty());
        RETURN_IF_ERROR(integrity.BeginReplay());
        for (const int step : {3, 4, 5}) integrity.Witness(step, good);
        return integrity.Compare(team, State().Buffers(), 5, {}, &log).status();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(Events(), HasSubstr(R"("event": "healed", "culprits": [1])"));
}

// Wrong memory that no gradient depended on (a moving average, say): the other rank ended in the true state.
TEST_F(IntegrityTest, TheReplaysStateNamesTheCulpritOfTwo) {
  const absl::Status status =
      Run(2, Every(5), [](auto& comm, Integrity& integrity, auto& team, auto& log) -> absl::Status {
        integrity.Witness(5, {1, 2, 3, 4, 5, 6, 7, 8});
        State state;
        if (comm.rank() == 0) Flip(&state.weight[9], 1);
        ASSIGN_OR_RETURN(bool same, integrity.Compare(team, state.Buffers(), 5, {}, &log));
        EXPECT_FALSE(same);
        RETURN_IF_ERROR(integrity.BeginReplay());
        integrity.Witness(5, {1, 2, 3, 4, 5, 6, 7, 8});
        return integrity.Compare(team, State().Buffers(), 5, {}, &log).status();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(Events(), HasSubstr(R"("event": "healed", "culprits": [0])"));
}

// What is counted may follow wrong tensors on every rank (a validation over all of them), and tells nothing then.
TEST_F(IntegrityTest, TensorsTellMoreThanCounters) {
  const absl::Status status =
      Run(2, Every(5), [](auto& comm, Integrity& integrity, auto& team, auto& log) -> absl::Status {
        State state;
        if (comm.rank() == 1) Flip(&state.weight[9], 1);
        const Counters spoilt = {{"best_metric", 0.25}}, good = {{"best_metric", 0.5}};
        ASSIGN_OR_RETURN(bool same, integrity.Compare(team, state.Buffers(), 5, spoilt, &log));
        EXPECT_FALSE(same);
        EXPECT_FALSE(integrity.divergence().counters_only);
        RETURN_IF_ERROR(integrity.BeginReplay());
        return integrity.Compare(team, State().Buffers(), 5, good, &log).status();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(Events(), HasSubstr(R"("event": "healed", "culprits": [1])"));
}

TEST_F(IntegrityTest, CountersAreComparedToo) {
  const absl::Status status =
      Run(3, Every(5), [](auto& comm, Integrity& integrity, auto& team, auto& log) -> absl::Status {
        const Counters counters = {{"skipped_steps", int64_t{comm.rank() == 1}}};
        ASSIGN_OR_RETURN(const bool same, integrity.Compare(team, State().Buffers(), 5, counters, &log));
        EXPECT_FALSE(same);
        EXPECT_TRUE(integrity.divergence().counters_only);
        EXPECT_THAT(integrity.divergence().suspects, ElementsAre(1));
        EXPECT_THAT(integrity.divergence().tensors, ElementsAre("the counters"));
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(IntegrityTest, GivesUpAfterSoManyHeals) {
  IntegrityConfig config = Every(1);
  config.set_max_heals(2);
  const absl::Status status = Run(2, config, [](auto&, Integrity& integrity, auto&, auto&) {
    EXPECT_TRUE(integrity.BeginReplay().ok());
    EXPECT_TRUE(integrity.BeginReplay().ok());
    const absl::Status third = integrity.BeginReplay();
    EXPECT_EQ(TroubleOf(third), Trouble::kPeer);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(IntegrityTest, ReductionsAreComparedByTheirChecksums) {
  const absl::Status status = Run(3, Every(5), [](auto&, Integrity& integrity, auto&, auto& log) {
    EXPECT_TRUE(integrity.ReductionsAgree(1, {7, 7, 7}, &log));
    EXPECT_FALSE(integrity.ReductionsAgree(2, {7, 7, 6}, &log));
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Events(), "{\"step\": 2, \"event\": \"reduction\", \"outside_majority\": [2]}\n");
}

}  // namespace
}  // namespace lockstep::train
