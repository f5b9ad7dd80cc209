#include "runtime/data/batcher.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/sources.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Records 0 .. n-1: "x" holds [10 i, 10 i + 1], "label" holds i % 3.
std::shared_ptr<const Dataset> NumberedRecords(testing::MemoryFileSystem* fs, int64_t n) {
  std::vector<std::string> payloads;
  for (int64_t i = 0; i < n; ++i) {
    payloads.push_back(
        ExampleMaker().Floats("x", {10.0f * i, 10.0f * i + 1}).Ints("label", {i % 3}).Serialize());
  }
  Put(fs, "f", FileOf(payloads));
  return *Dataset::Open(fs, {"f"});
}

std::vector<FeatureSpec> Features(int64_t classes = 3) {
  return {{.name = "x", .type = {DType::kF32, {2}}},
          {.name = "label", .type = {DType::kI64, {}}, .classes = classes}};
}

const float* Floats(const Batch& batch) { return static_cast<const float*>(batch.input(0)); }
const int64_t* Labels(const Batch& batch) { return static_cast<const int64_t*>(batch.input(1)); }

TEST(BatchPlanTest, WhatDoesNotDivideIsNamed) {
  EXPECT_THAT((BatchPlan{.global_batch = 30, .lanes = 4}.Check().message()),
              AllOf(HasSubstr("global_batch 30"), HasSubstr("lanes 4")));
  EXPECT_THAT((BatchPlan{.global_batch = 32, .lanes = 4, .accumulate = 3}.Check().message()),
              HasSubstr("accumulate 3"));
  EXPECT_TRUE((BatchPlan{.global_batch = 32, .lanes = 4, .accumulate = 2}.Check().ok()));
}

TEST(BatchPlanTest, LanesAndMicroBatchesCoverTheStepInOrder) {
  const BatchPlan plan{.global_batch = 24, .lanes = 4, .accumulate = 3};
  int64_t next = 5 * 24;
  for (int lane = 0; lane < 4; ++lane) {
    for (int micro = 0; micro < 3; ++micro) {
      EXPECT_EQ(plan.FirstPosition(5, lane, micro), next);
      next += plan.micro_batch();
    }
  }
  EXPECT_EQ(next, 6 * 24);
}

TEST(BatcherTest, FillsInputsPositionsAndSamples) {
  testing::MemoryFileSystem fs;
  auto source = *MakeExampleSource(NumberedRecords(&fs, 10), Features());
  const Batcher batcher(source, Order(OrderKind::kSequential, 0, 10), {.global_batch = 4, .lanes = 2});
  Batch batch = batcher.MakeBatch();
  ASSERT_TRUE(batcher.Fill(2, 1, 0, &batch).ok());  // positions 10 and 11: the second epoch
  EXPECT_THAT(batch.positions(), ElementsAre(10, 11));
  EXPECT_THAT(batch.samples(), ElementsAre(0, 1));
  EXPECT_THAT(absl::MakeSpan(batch.weights(), 2), ElementsAre(1, 1));
  EXPECT_THAT(absl::MakeSpan(Floats(batch), 4), ElementsAre(0, 1, 10, 11));
  EXPECT_THAT(absl::MakeSpan(Labels(batch), 2), ElementsAre(0, 1));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(batch.input(0)) % 64, 0u);
}

TEST(BatcherTest, SamplesOfAStepAreThoseOfItsLanes) {
  testing::MemoryFileSystem fs;
  auto source = *MakeExampleSource(NumberedRecords(&fs, 10), Features());
  const Batcher batcher(source, Order(OrderKind::kShuffle, 3, 10),
                        {.global_batch = 8, .lanes = 2, .accumulate = 2});
  Batch batch = batcher.MakeBatch();
  for (int64_t step = 0; step < 5; ++step) {
    std::vector<int64_t> of_step(8), of_lanes;
    batcher.SamplesOfStep(step, absl::MakeSpan(of_step));
    for (int lane = 0; lane < 2; ++lane) {
      for (int micro = 0; micro < 2; ++micro) {
        ASSERT_TRUE(batcher.Fill(step, lane, micro, &batch).ok());
        of_lanes.insert(of_lanes.end(), batch.samples().begin(), batch.samples().end());
        EXPECT_EQ(Floats(batch)[0], 10.0f * static_cast<float>(batch.samples()[0]));
      }
    }
    EXPECT_EQ(of_step, of_lanes);
  }
}

TEST(BatcherTest, BadRecordNamesStepFileRecordAndFeature) {
  testing::MemoryFileSystem fs;
  auto source = *MakeExampleSource(NumberedRecords(&fs, 10), Features(/*classes=*/2));
  const Batcher batcher(source, Order(OrderKind::kSequential, 0, 10), {.global_batch = 2, .lanes = 1});
  Batch batch = batcher.MakeBatch();
  ASSERT_TRUE(batcher.Fill(0, 0, 0, &batch).ok());
  const absl::Status status = batcher.Fill(1, 0, 0, &batch);
  const int64_t offset =
      2 * static_cast<int64_t>(ReadWholeFile(&fs, "f")->size()) / 10;  // all are equally long
  EXPECT_EQ(status.message(),
            absl::StrCat("step 2: f, byte ", offset, ", record 2: feature 'label' is 2, not in [0, 2)"));
  EXPECT_EQ(TroubleOf(status), Trouble::kData);
}

TEST(ExampleSourceTest, WrongFeatureIsToldAtOnce) {
  testing::MemoryFileSystem fs;
  auto source = MakeExampleSource(NumberedRecords(&fs, 2), {{.name = "lable", .type = {DType::kI64, {}}}});
  EXPECT_THAT(source.status().message(),
              AllOf(HasSubstr("f, byte 0, record 0"), HasSubstr("did you mean 'label'")));
}

TEST(EvalPlanTest, ChunksCoverEverySampleOnceAndPadWithWeightZero) {
  testing::MemoryFileSystem fs;
  auto source = *MakeExampleSource(NumberedRecords(&fs, 10), Features());
  const Batcher batcher(source, Order(OrderKind::kShuffle, 0, 10), {});
  const EvalPlan plan{.samples = 10, .micro_batch = 4};
  ASSERT_EQ(plan.chunks(), 3);
  Batch batch = batcher.MakeBatch(plan);
  for (int64_t chunk : {0, 2, 1, 2}) {  // any order, the buffers reused
    ASSERT_TRUE(batcher.FillEval(plan, chunk, &batch).ok());
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t sample = chunk * 4 + i;
      EXPECT_EQ(batch.weights()[i], sample < 10 ? 1.0f : 0.0f);
      EXPECT_EQ(batch.samples()[i], sample < 10 ? sample : -1);
      EXPECT_EQ(Floats(batch)[2 * i], sample < 10 ? 10.0f * static_cast<float>(sample) : 0.0f);
      EXPECT_EQ(Labels(batch)[i], sample < 10 ? sample % 3 : 0);
    }
  }
}

TEST(EvalPlanTest, Empty) { EXPECT_EQ((EvalPlan{.samples = 0, .micro_batch = 4}.chunks()), 0); }

}  // namespace
}  // namespace lockstep::data
