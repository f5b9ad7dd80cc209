#include "comm/plan/cost_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

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
  call.lanes = 8;
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

// Of 12 lanes on 5 ranks some have two parts and some three: that must not make them choose differently.
TEST(CostModelTest, RanksWithMoreOrFewerPartsChooseTheSame) {
  for (size_t bytes = 4; bytes <= size_t{1} << 28; bytes *= 2) {
    Call few = CallOf(Collective::kReduceLanes, bytes);
    few.lanes = 12;
    Call many = few;
    few.parts.resize(2);
    many.parts.resize(3);
    for (const Algorithm algorithm : AlgorithmsFor(few, 5)) {
      EXPECT_EQ(PredictSeconds(few, algorithm, 5, kSlowNetwork),
                PredictSeconds(many, algorithm, 5, kSlowNetwork));
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

}  // namespace
}  // namespace lockstep::comm
