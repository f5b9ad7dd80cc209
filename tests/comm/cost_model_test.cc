#include "comm/plan/cost_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "comm/factory.h"
#include "comm/store.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

Call CallOf(Collective kind, size_t bytes, DType dtype = DType::kF32) {
  Call call;
  call.kind = kind;
  call.in.dtype = call.out.dtype = dtype;
  call.in.count = call.out.count = bytes / SizeOf(dtype);
  if (kind == Collective::kReduceLanes) call.lanes = 8;
  return call;
}

constexpr CostModel kSlowNetwork{
    .latency = 100e-6, .message_seconds = 20e-6, .seconds_per_byte = 8e-9, .reduce_seconds_per_byte = 0.1e-9};

TEST(CostModelTest, FewBytesGoInFewSteps) {
  for (const int size : {2, 3, 8, 64}) {
    const Algorithm small = ChooseAlgorithm(CallOf(Collective::kAllReduce, 8), size, kSlowNetwork);
    EXPECT_TRUE(small == Algorithm::kOneShot || small == Algorithm::kTree ||
                small == Algorithm::kHalvingDoubling)
        << size << " " << NameOf(small);
    const Algorithm large = ChooseAlgorithm(CallOf(Collective::kAllReduce, 256 << 20), size, kSlowNetwork);
    EXPECT_TRUE(large == Algorithm::kTwoShot || large == Algorithm::kRing ||
                large == Algorithm::kHalvingDoubling || size == 2)
        << size << " " << NameOf(large);
  }
}

// Ranks hold different numbers of lane parts, and must choose alike all the same.
TEST(CostModelTest, TheOwnPartsDoNotDecide) {
  for (const Wire wire : {Wire::kFull, Wire::kBF16}) {
    for (int size = 2; size <= 8; ++size) {
      for (size_t bytes = 4; bytes <= size_t{1} << 24; bytes += bytes / 3 + 4) {
        Call call = CallOf(Collective::kReduceLanes, bytes);
        call.wire = wire;
        std::vector<Algorithm> chosen;
        for (int rank = 0; rank < size; ++rank) {
          call.parts.clear();
          for (const LaneRange part : MaximalSubtrees(LanesOfRank(rank, size, call.lanes), call.lanes))
            call.parts.push_back({part, call.out});
          chosen.push_back(ChooseAlgorithm(call, size, kSlowNetwork));
        }
        EXPECT_EQ(chosen, std::vector<Algorithm>(size, chosen[0])) << size << " ranks, " << bytes << " bytes";
      }
    }
  }
}

// Whatever is chosen for much data, no rank sends more than the least that an all-reduce must.
TEST(CostModelTest, MuchDataGoesAtTheBoundOfTheBandwidth) {
  const double n = 1 << 30;
  for (const int size : {2, 4, 16, 256}) {
    const Call call = CallOf(Collective::kAllReduce, size_t{1} << 30);
    const double seconds =
        PredictSeconds(call, ChooseAlgorithm(call, size, kSlowNetwork), size, kSlowNetwork);
    const double bound = 2 * n * (size - 1) / size * kSlowNetwork.seconds_per_byte;
    EXPECT_LT(seconds, 1.1 * bound) << size;
  }
}

TEST(CostModelTest, TheOrderedReductionNeverGetsAnotherOrder) {
  for (const int size : {2, 3, 4, 5, 8}) {
    for (size_t bytes = 4; bytes <= size_t{1} << 28; bytes *= 4) {
      const Algorithm chosen = ChooseAlgorithm(CallOf(Collective::kReduceLanes, bytes), size, kSlowNetwork);
      EXPECT_NE(chosen, Algorithm::kRing);
      EXPECT_NE(chosen, Algorithm::kTree);
      if (size == 3 || size == 5) {
        EXPECT_NE(chosen, Algorithm::kHalvingDoubling);
      }
    }
  }
}

// Ranks own different numbers of parts where the lanes do not divide by them.
TEST(CostModelTest, AllRanksChooseTheSame) {
  for (const int size : {3, 5, 6, 7}) {
    for (size_t bytes = 4; bytes <= size_t{1} << 28; bytes += (bytes / 8 + 1) * 4) {
      Call few = CallOf(Collective::kReduceLanes, bytes), many = few;
      few.lanes = many.lanes = 16;
      few.parts.resize(1);
      many.parts.resize(2);
      EXPECT_EQ(ChooseAlgorithm(few, size, kSlowNetwork), ChooseAlgorithm(many, size, kSlowNetwork)) << bytes;
    }
  }
}

TEST(CostModelTest, WhatCannotBeIsRefusedWithTheOnesThatCan) {
  const auto message = [](const Call& call, Algorithm algorithm, int size) {
    return std::string(CheckAlgorithm(call, algorithm, size).message());
  };
  EXPECT_THAT(message(CallOf(Collective::kReduceLanes, 64), Algorithm::kRing, 4),
              AllOf(HasSubstr("own order"), HasSubstr("two_shot")));
  EXPECT_THAT(message(CallOf(Collective::kReduceLanes, 64), Algorithm::kHalvingDoubling, 3),
              HasSubstr("powers of two"));
  EXPECT_THAT(message(CallOf(Collective::kAllReduce, 64, DType::kBF16), Algorithm::kRing, 4),
              AllOf(HasSubstr("every hop"), HasSubstr("two_shot"), Not(HasSubstr("use ring"))));
  EXPECT_THAT(message(CallOf(Collective::kBarrier, 0), Algorithm::kRing, 4), HasSubstr("one algorithm only"));
  EXPECT_EQ(message(CallOf(Collective::kAllReduce, 64), Algorithm::kTree, 4), "");
}

TEST(CostModelTest, GoesThroughText) {
  const CostModel model{.latency = 31e-6,
                        .message_seconds = 8e-6,
                        .seconds_per_byte = 0.5e-9,
                        .reduce_seconds_per_byte = 0.25e-9};
  const auto read = CostModelFromText(CostModelText(model));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(CostModelText(*read), CostModelText(model));
  for (const char* bad : {"", "latency_us 3", "latency_us -1 message_us 1 ns_per_byte 1 reduce_ns_per_byte 1",
                          "latency_us nan message_us 1 ns_per_byte 1 reduce_ns_per_byte 1",
                          "latency 1 message_us 1 ns_per_byte 1 reduce_ns_per_byte 1"}) {
    EXPECT_FALSE(CostModelFromText(bad).ok()) << bad;
  }
}

TEST(CostModelTest, TheTableNamesEachChoice) {
  const std::string text = DescribeChoices(4, kSlowNetwork);
  EXPECT_THAT(text, AllOf(HasSubstr("all_reduce: "), HasSubstr("broadcast: "), HasSubstr(" from ")));
}

// Ranks that own different numbers of lane parts must still agree.
TEST(CostModelTest, EveryRankChoosesAlike) {
  for (size_t count = 16; count <= size_t{1} << 22; count *= 2) {
    Call call;
    call.kind = Collective::kReduceLanes;
    call.lanes = 16;
    call.out.count = count;
    call.parts.resize(2);
    const double two_parts = PredictSeconds(call, Algorithm::kOneShot, 3, CostModel());
    call.parts.resize(3);
    EXPECT_EQ(PredictSeconds(call, Algorithm::kOneShot, 3, CostModel()), two_parts) << count;
  }
}

// Else each would choose its own algorithms.
TEST(CostModelTest, RanksMustBeGivenTheSame) {
  const auto statuses = [](double second_latency) {
    return testing::StatusesOfMeetings({.size = 2}, [&](Meeting& meeting) {
      CommunicatorOptions options;
      options.backend = "tcp";
      options.cost_model = CostModelText({.latency = meeting.rank() == 0 ? 1e-6 : second_latency});
      return MakeCommunicator(meeting, options).status();
    });
  };
  for (const absl::Status& status : statuses(1e-6)) EXPECT_TRUE(status.ok()) << status;
  for (const absl::Status& status : statuses(2e-6)) {
    EXPECT_EQ(TroubleOf(status), Trouble::kConfig) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("cost model"));
  }
}

TEST(CostModelTest, AWrongOneIsRefusedBeforeAnyRankWaits) {
  const auto alone = MakeLonelyMeeting();
  CommunicatorOptions options;
  options.cost_model = "latency_us fast";
  const absl::Status status = MakeCommunicator(*alone, options).status();
  EXPECT_EQ(TroubleOf(status), Trouble::kConfig) << status;
}

}  // namespace
}  // namespace lockstep::comm
