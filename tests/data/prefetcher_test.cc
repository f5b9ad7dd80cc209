#include "runtime/data/prefetcher.h"

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/sources.h"

namespace lockstep::data {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSamples = 100;

// Sample i is the number i; counts decodings, fails at one sample, and takes its time.
class CountingSource final : public SampleSource {
 public:
  int64_t size() const override { return kSamples; }
  const std::vector<InputSpec>& inputs() const override { return inputs_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  std::string Describe(int64_t sample) const override { return absl::StrCat("sample ", sample); }
  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    ++decoded;
    if (sample == bad_sample) return DataError(absl::StrCat("sample ", sample, " is bad"));
    if (slow) std::this_thread::sleep_for(std::chrono::microseconds(sample % 7 * 50));
    std::memcpy(outputs[0], &sample, sizeof sample);
    return absl::OkStatus();
  }

  std::shared_ptr<const void> Announce(absl::Span<const int64_t> samples) const override {
    if (!announces) return nullptr;
    std::lock_guard lock(mutex);
    for (const int64_t sample : samples) ++held[sample];
    return std::shared_ptr<const void>(
        this, [this, ids = std::vector<int64_t>(samples.begin(), samples.end())](const void*) {
          std::lock_guard lock(mutex);
          for (const int64_t id : ids) --held[id];
        });
  }
  int64_t Held() const {
    std::lock_guard lock(mutex);
    int64_t count = 0;
    for (const auto& [id, uses] : held) count += uses;
    return count;
  }

  mutable std::atomic<int64_t> decoded = 0;
  bool announces = false;
  mutable std::mutex mutex;
  mutable std::map<int64_t, int64_t> held;  // announced and not given up
  int64_t bad_sample = -1;
  bool slow = false;

 private:
  std::vector<InputSpec> inputs_ = {{"id", {DType::kI64, {}}}};
  std::string fingerprint_ = "counting";
};

class PrefetcherTest : public ::testing::Test {
 protected:
  std::shared_ptr<const Batcher> MakeBatcher(BatchPlan plan = {
                                                 .global_batch = 16, .lanes = 4, .accumulate = 2}) {
    return std::make_shared<const Batcher>(source_, Order(OrderKind::kShuffle, 1, kSamples), plan);
  }
  // Takes (step, lane, micro) and compares it with what the batcher itself says.
  static void ExpectRight(Prefetcher& prefetcher, int64_t step, int lane, int micro) {
    auto lease = prefetcher.Take(step, lane, micro);
    ASSERT_TRUE(lease.ok()) << lease.status();
    Batch want = prefetcher.batcher().MakeBatch();
    ASSERT_TRUE(prefetcher.batcher().Fill(step, lane, micro, &want).ok());
    EXPECT_EQ((*lease)->positions(), want.positions());
    EXPECT_EQ((*lease)->samples(), want.samples());
    EXPECT_EQ(std::memcmp((*lease)->input(0), want.input(0), want.input_bytes(0)), 0);
  }
  std::shared_ptr<CountingSource> source_ = std::make_shared<CountingSource>();
};

TEST_F(PrefetcherTest, GivesWhatTheBatcherSays) {
  source_->slow = true;
  for (int threads : {0, 1, 3}) {
    for (int depth : {1, 4}) {
      Prefetcher prefetcher(MakeBatcher(), {.threads = threads, .depth_steps = depth});
      prefetcher.Start(3, 1, 3);
      for (int64_t step = 3; step < 10; ++step) {
        for (int micro : {0, 1}) {  // another order than decoding's
          for (int lane : {2, 1}) ExpectRight(prefetcher, step, lane, micro);
        }
      }
    }
  }
}

TEST_F(PrefetcherTest, ThreadsTakeTheirLanes) {
  source_->slow = true;
  Prefetcher prefetcher(MakeBatcher(), {.threads = 2, .depth_steps = 2});
  prefetcher.Start(0, 0, 4);
  for (int64_t step = 0; step < 30; ++step) {
    std::vector<std::thread> threads;
    for (int first : {0, 2}) {
      threads.emplace_back([&, first] {
        for (int lane : {first, first + 1}) {
          for (int micro : {0, 1}) ExpectRight(prefetcher, step, lane, micro);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_F(PrefetcherTest, DecodesEachOnce) {
  const BatchPlan plan{.global_batch = 16, .lanes = 4, .accumulate = 2};
  {
    Prefetcher prefetcher(MakeBatcher(plan), {.threads = 2, .depth_steps = 3});
    prefetcher.Start(0, 0, 2);
    for (int64_t step = 0; step < 20; ++step) {
      for (int lane : {0, 1}) {
        for (int micro : {0, 1}) ASSERT_TRUE(prefetcher.Take(step, lane, micro).ok());
      }
    }
  }
  EXPECT_GE(source_->decoded, 20 * 8);
  EXPECT_LE(source_->decoded, 22 * 8);  // and what was ahead at the end
}

TEST_F(PrefetcherTest, ReadsAheadNoFurtherThanAsked) {
  Prefetcher prefetcher(MakeBatcher({.global_batch = 4, .lanes = 4}), {.threads = 2, .depth_steps = 3});
  prefetcher.Start(0, 0, 4);
  while (source_->decoded < 12) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(source_->decoded, 12);
}

TEST_F(PrefetcherTest, LanesMayChangeAtAnyStep) {
  Prefetcher prefetcher(MakeBatcher(), {.threads = 2, .depth_steps = 2});
  prefetcher.Start(0, 0, 2);
  for (int lane : {0, 1}) ExpectRight(prefetcher, 0, lane, 0);
  prefetcher.Start(1, 1, 4);
  for (int lane : {3, 1, 2}) ExpectRight(prefetcher, 1, lane, 1);
}

TEST_F(PrefetcherTest, UnannouncedLanesStepsDoneAndStepsFarAheadAreServedToo) {
  Prefetcher prefetcher(MakeBatcher(), {.threads = 1, .depth_steps = 2});
  prefetcher.Start(5, 0, 1);
  ExpectRight(prefetcher, 5, 3, 1);  // of another rank
  ExpectRight(prefetcher, 5, 0, 0);
  ExpectRight(prefetcher, 5, 0, 0);   // again: the step is redone
  ExpectRight(prefetcher, 2, 0, 0);   // before the start
  ExpectRight(prefetcher, 50, 0, 1);  // far ahead
  ExpectRight(prefetcher, 49, 0, 1);  // and back
  ExpectRight(prefetcher, 51, 0, 0);
}

TEST_F(PrefetcherTest, WorksWithoutStart) {
  Prefetcher prefetcher(MakeBatcher(), {.threads = 1});
  ExpectRight(prefetcher, 7, 1, 0);
}

TEST_F(PrefetcherTest, ErrorComesAtItsStepWithItsText) {
  const std::shared_ptr<const Batcher> batcher = MakeBatcher();
  std::vector<int64_t> samples(16);
  batcher->SamplesOfStep(2, absl::MakeSpan(samples));
  source_->bad_sample = samples[5];  // lane 1, micro-batch 0
  Prefetcher prefetcher(batcher, {.threads = 2, .depth_steps = 4});
  prefetcher.Start(0, 0, 4);
  for (int64_t step = 0; step < 4; ++step) {
    for (int lane = 0; lane < 4; ++lane) {
      for (int micro : {0, 1}) {
        const auto lease = prefetcher.Take(step, lane, micro);
        if (step == 2 && lane == 1 && micro == 0) {
          EXPECT_EQ(lease.status().message(),
                    absl::StrCat("step 3: sample ", source_->bad_sample, " is bad"));
          EXPECT_EQ(TroubleOf(lease.status()), Trouble::kData);
        } else {
          EXPECT_TRUE(lease.ok()) << step << " " << lane << " " << micro << lease.status();
        }
      }
    }
  }
}

TEST_F(PrefetcherTest, DestructionWhileDecoding) {
  source_->slow = true;
  for (int i = 0; i < 20; ++i) {
    Prefetcher prefetcher(MakeBatcher(), {.threads = 3, .depth_steps = 4});
    prefetcher.Start(0, 0, 4);
    if (i % 2 == 0) prefetcher.Start(1, 0, 4);
  }
}

TEST_F(PrefetcherTest, WaitIsMeasured) {
  source_->slow = true;
  Prefetcher prefetcher(MakeBatcher(), {.threads = 0});
  ASSERT_TRUE(prefetcher.Take(0, 0, 0).ok());
  EXPECT_GT(prefetcher.TakeWaitSeconds(), 0);
  EXPECT_EQ(prefetcher.TakeWaitSeconds(), 0);
}

TEST(SyntheticTest, EveryStepIsTheFirstAndCostsNothing) {
  auto source = *MakeSyntheticSource(
      1, 64, {{.spec = {"x", {DType::kF32, {3}}}}, {.spec = {"label", {DType::kI64, {}}}, .below = 10}});
  auto batcher = std::make_shared<const Batcher>(source, Order(OrderKind::kShuffle, 1, 64),
                                                 BatchPlan{.global_batch = 8, .lanes = 2});
  Prefetcher prefetcher(batcher, {.threads = 2});
  prefetcher.Start(0, 0, 2);
  const void* buffer = nullptr;
  {
    auto first = *prefetcher.Take(0, 1, 0);
    buffer = first->input(0);
  }
  auto later = *prefetcher.Take(9, 1, 0);
  EXPECT_EQ(later->input(0), buffer);
  EXPECT_EQ(later->positions()[0], 9 * 8 + 4);
  Batch want = batcher->MakeBatch();
  ASSERT_TRUE(batcher->Fill(0, 1, 0, &want).ok());
  EXPECT_EQ(std::memcmp(later->input(0), want.input(0), want.input_bytes(0)), 0);
  std::vector<int64_t> of_first(8), of_later(8);
  batcher->SamplesOfStep(0, absl::MakeSpan(of_first));
  batcher->SamplesOfStep(9, absl::MakeSpan(of_later));
  EXPECT_EQ(of_first, of_later);
}

TEST(SyntheticTest, ValuesAreInRangeAndSpread) {
  auto source = *MakeSyntheticSource(1, 1000, {{.spec = {"ids", {DType::kI32, {5}}}, .below = 7}});
  std::set<int32_t> seen;
  for (int64_t sample = 0; sample < 1000; ++sample) {
    int32_t ids[5];
    std::byte* const outputs[] = {reinterpret_cast<std::byte*>(ids)};
    ASSERT_TRUE(source->Decode(sample, outputs).ok());
    for (int32_t id : ids) {
      EXPECT_TRUE(id >= 0 && id < 7);
      seen.insert(id);
    }
  }
  EXPECT_EQ(seen.size(), 7u);
}

TEST(SyntheticTest, ImpossibleInputsAreConfigErrors) {
  EXPECT_EQ(TroubleOf(MakeSyntheticSource(1, 0, {}).status()), Trouble::kConfig);
  EXPECT_EQ(TroubleOf(MakeSyntheticSource(1, 1, {{.spec = {"l", {DType::kI64, {}}}}}).status()),
            Trouble::kConfig);
}

// What is announced is given up once it is decoded, taken, passed over or no longer wanted.
TEST_F(PrefetcherTest, AnnouncesAheadAndGivesUp) {
  source_->announces = true;
  {
    Prefetcher prefetcher(MakeBatcher(), {.threads = 2, .depth_steps = 2, .announce_steps = 8});
    prefetcher.Start(0, 0, 4);
    for (int64_t step = 0; step < 40; ++step) {
      for (int lane = 0; lane < 4; ++lane) {
        for (int micro : {0, 1}) ExpectRight(prefetcher, step, lane, micro);
      }
      // Eight steps of 16; and while half of these are announced together, that half once more.
      ASSERT_LE(source_->Held(), (8 + 4) * 16);
    }
    prefetcher.Start(100, 0, 1);  // other lanes: what was announced for those is given up
    for (int micro : {0, 1}) ExpectRight(prefetcher, 100, 0, micro);
    ExpectRight(prefetcher, 107, 0, 0);  // steps passed over
  }
  EXPECT_EQ(source_->Held(), 0);
}

}  // namespace
}  // namespace lockstep::data
