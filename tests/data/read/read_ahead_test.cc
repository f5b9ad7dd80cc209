#include "runtime/data/read/read_ahead.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::data {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kRecord = 100;

char ByteAt(uint64_t offset) { return static_cast<char>(offset * 131 + offset / 251); }

// Bytes that are a function of their offset. Reads wait while it is shut, and fail where told to.
class TestFile final : public ReadableFile {
 public:
  explicit TestFile(uint64_t size_bytes) : size_bytes_(size_bytes) {}
  uint64_t size_bytes() const override { return size_bytes_; }
  absl::string_view Mapped() const override { return {}; }
  absl::Status ReadAt(uint64_t offset, void* out, size_t size_bytes) const override {
    std::unique_lock lock(mutex_);
    ++begun;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !shut_; });
    if (failures > 0 && offset <= bad_offset && bad_offset < offset + size_bytes) {
      --failures;
      return SourceError("the server is gone");
    }
    for (size_t i = 0; i < size_bytes; ++i) static_cast<char*>(out)[i] = ByteAt(offset + i);
    return absl::OkStatus();
  }
  void Shut(bool shut) {
    std::lock_guard lock(mutex_);
    shut_ = shut;
    changed_.notify_all();
  }
  void WaitUntilBegun(int64_t reads) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return begun >= reads; });
  }
  mutable int64_t begun = 0;  // with the lock, or once nothing reads
  mutable int failures = 0;
  uint64_t bad_offset = 0;

 private:
  const uint64_t size_bytes_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool shut_ = false;
};

ReadAhead::Wanted Record(int64_t id) { return {id, {0, static_cast<uint64_t>(id) * kRecord, kRecord}}; }

std::vector<ReadAhead::Wanted> Records(const std::vector<int64_t>& ids) {
  std::vector<ReadAhead::Wanted> wanted;
  for (const int64_t id : ids) wanted.push_back(Record(id));
  return wanted;
}

void ExpectRight(ReadAhead& ahead, int64_t id) {
  const auto read = ahead.Read(Record(id));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), kRecord);
  for (uint64_t i = 0; i < kRecord; ++i)
    ASSERT_EQ(read->data()[i], ByteAt(static_cast<uint64_t>(id) * kRecord + i));
}

TEST(ReadAheadTest, ReadsWhatIsAnnouncedOnceAndTogether) {
  TestFile file(100 * kRecord);
  ReadAhead ahead({&file}, {.gap_bytes = 0});
  const auto ticket = ahead.Announce(Records({10, 11, 12, 50, 13}));
  for (const int64_t id : {50, 13, 10, 12, 11, 10}) ExpectRight(ahead, id);
  EXPECT_EQ(ahead.counts().reads, 2);  // 10..13 and 50
  EXPECT_EQ(ahead.counts().read_bytes, 5 * kRecord);
  EXPECT_EQ(ahead.counts().direct_reads, 0);
}

TEST(ReadAheadTest, WhatIsNotAnnouncedIsReadAtOnce) {
  TestFile file(100 * kRecord);
  ReadAhead ahead({&file}, {});
  ExpectRight(ahead, 3);
  EXPECT_EQ(ahead.counts().direct_reads, 1);
  EXPECT_EQ(ahead.counts().reads, 0);
}

// What is given up frees the budget once the thread that read it has let go of it, too.
void AwaitReads(const ReadAhead& ahead, int64_t reads) {
  const absl::Time patience = absl::Now() + absl::Seconds(20);
  while (ahead.counts().reads < reads && absl::Now() < patience) absl::SleepFor(absl::Milliseconds(1));
}

TEST(ReadAheadTest, AReaderWaitsForAReadThatIsUnderWay) {
  TestFile file(100 * kRecord);
  ReadAhead ahead({&file}, {});
  file.Shut(true);
  const auto ticket = ahead.Announce(Records({7}));
  file.WaitUntilBegun(1);
  std::thread reader([&] { ExpectRight(ahead, 7); });
  file.Shut(false);
  reader.join();
  EXPECT_EQ(file.begun, 1);
}

// The budget is full with what is announced first. What comes later is still given to who asks, and is read ahead once the
// tickets before it are gone.
TEST(ReadAheadTest, KeepsToItsBudget) {
  TestFile file(100 * kRecord);
  ReadAhead ahead({&file},
                  {.budget_bytes = 3 * kRecord, .gap_bytes = 0, .most_bytes = kRecord, .threads = 1});
  auto first = ahead.Announce(Records({0, 2, 4}));
  auto second = ahead.Announce(Records({6, 8}));
  for (const int64_t id : {0, 2, 4}) ExpectRight(ahead, id);
  EXPECT_EQ(ahead.counts().reads, 3);
  ExpectRight(ahead, 8);
  EXPECT_EQ(ahead.counts().direct_reads, 1);
  first.reset();
  AwaitReads(ahead, 5);
  ExpectRight(ahead, 6);
  ExpectRight(ahead, 8);
  EXPECT_EQ(ahead.counts().direct_reads, 1);
  EXPECT_EQ(ahead.counts().reads, 5);
  EXPECT_LE(ahead.counts().most_bytes, 3 * kRecord);
}

TEST(ReadAheadTest, ARecordLargerThanTheBudgetIsReadAlone) {
  TestFile file(100 * kRecord);
  ReadAhead ahead({&file}, {.budget_bytes = 10, .gap_bytes = 0, .most_bytes = 1});
  const auto ticket = ahead.Announce(Records({1, 3}));
  ExpectRight(ahead, 1);
  ExpectRight(ahead, 3);
  EXPECT_EQ(ahead.counts().reads, 1);
}

TEST(ReadAheadTest, GivenUpReadsAreNotBegunAndFreeTheBudget) {
  TestFile file(100 * kRecord);
  ReadAhead ahead({&file}, {.budget_bytes = kRecord, .gap_bytes = 0, .most_bytes = 1});
  auto held = ahead.Announce(Records({0}));
  ExpectRight(ahead, 0);
  auto never = ahead.Announce(Records({2}));
  auto wanted = ahead.Announce(Records({4}));
  never.reset();
  held.reset();
  AwaitReads(ahead, 2);
  ExpectRight(ahead, 4);
  EXPECT_EQ(ahead.counts().reads, 2);
  EXPECT_EQ(ahead.counts().read_bytes, 2 * kRecord);
}

TEST(ReadAheadTest, ARecordStaysWhileItIsLookedAt) {
  TestFile file(100 * kRecord);
  ReadAhead ahead({&file}, {});
  auto ticket = ahead.Announce(Records({5}));
  const auto read = ahead.Read(Record(5));
  ticket.reset();
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->data()[99], ByteAt(599));  // AddressSanitizer watches
}

TEST(ReadAheadTest, AFailedReadIsTriedOnceMoreByWhoAsks) {
  TestFile file(100 * kRecord);
  file.bad_offset = 5 * kRecord;
  file.failures = 1;
  {
    ReadAhead ahead({&file}, {});
    const auto ticket = ahead.Announce(Records({5}));
    ExpectRight(ahead, 5);
    EXPECT_EQ(ahead.counts().direct_reads, 1);
  }
  file.failures = 1000;
  ReadAhead ahead({&file}, {});
  const auto ticket = ahead.Announce(Records({5, 90}));
  const auto read = ahead.Read(Record(5));
  EXPECT_THAT(read.status().message(), HasSubstr("the server is gone"));
  EXPECT_EQ(TroubleOf(read.status()), Trouble::kData);
  ExpectRight(ahead, 90);
}

TEST(ReadAheadTest, EndsWhileReadsAreUnderWay) {
  TestFile file(100 * kRecord);
  file.Shut(true);
  auto ahead =
      std::make_unique<ReadAhead>(std::vector<const ReadableFile*>{&file}, ReadAheadOptions{.threads = 2});
  auto ticket = ahead->Announce(Records({1, 3, 5, 7, 9, 50, 70}));
  file.WaitUntilBegun(1);
  std::thread opener([&] { file.Shut(false); });
  ahead.reset();
  opener.join();
  ticket.reset();  // after what it belonged to
}

// Threads that announce, read and give up as they like, over a real file: by io_uring where the machine permits it.
void Shuffle(bool uring) {
  const std::string path = ::testing::TempDir() + "/read_ahead" + (uring ? "_uring" : "") + ".bin";
  {
    std::string bytes(4096 * kRecord, '\0');
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = ByteAt(i);
    std::ofstream(path, std::ios::binary) << bytes;
  }
  const auto file = RealFileSystem()->Open(path);
  ASSERT_TRUE(file.ok());
  ReadAhead ahead({file->get()}, {.budget_bytes = 64 * kRecord,
                                  .gap_bytes = 300,
                                  .most_bytes = 2000,
                                  .reads = 8,
                                  .threads = 2,
                                  .uring = uring});
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([&ahead, t] {
      std::mt19937 random(t);
      for (int round = 0; round < 200; ++round) {
        std::vector<int64_t> ids(16);
        for (int64_t& id : ids) id = random() % 4096;
        auto ticket = ahead.Announce(Records(ids));
        if (round % 7 == 0) continue;  // given up
        for (const int64_t id : ids) ExpectRight(ahead, id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(ahead.counts().most_bytes, 64 * kRecord);
  if (uring && ahead.method() != "io_uring") {
    std::filesystem::remove(path);
    GTEST_SKIP() << "no io_uring here: " << ahead.method() << " read instead";
  }
  std::filesystem::remove(path);
}
TEST(ReadAheadTest, ManyThreadsOverThreads) { Shuffle(false); }
TEST(ReadAheadTest, ManyThreadsOverIoUring) { Shuffle(true); }

TEST(ReadAheadTest, AFileThatBecameShorterIsAnError) {
  const std::string path = ::testing::TempDir() + "/read_ahead_short.bin";
  std::ofstream(path, std::ios::binary) << std::string(1000, 'x');
  const auto file = RealFileSystem()->Open(path);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(RealFileSystem()->Truncate(path, 450).ok());
  for (const bool uring : {false, true}) {
    ReadAhead ahead({file->get()}, {.uring = uring});
    const auto ticket = ahead.Announce(Records({4}));
    EXPECT_THAT(ahead.Read(Record(4)).status().message(), HasSubstr("ends at byte 450"));
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace lockstep::data
