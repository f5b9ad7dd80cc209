// Records whose checksum is wrong: what counts as proven damage, and what a batch does about it.
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/batcher.h"
#include "runtime/data/record_errors.h"
#include "runtime/data/record_file.h"
#include "runtime/data/record_index.h"
#include "runtime/data/sources.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/faulty_file_system.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = DamagePolicy::Kind;

// Record i holds the float i. All are equally long.
std::string Numbered(int64_t n) {
  std::vector<std::string> payloads;
  for (int64_t i = 0; i < n; ++i)
    payloads.push_back(ExampleMaker().Floats("x", {static_cast<float>(i)}).Serialize());
  return FileOf(payloads);
}

constexpr int64_t kRecords = 12;

// With a bit of the payload of each of `damaged` flipped.
std::string Damaged(const std::set<int64_t>& damaged) {
  std::string bytes = Numbered(kRecords);
  const size_t length = bytes.size() / kRecords;
  for (const int64_t record : damaged) bytes[record * length + 14] ^= 4;
  return bytes;
}

std::shared_ptr<const SampleSource> SourceOf(FileSystem* fs, const std::string& bytes) {
  Put(fs, "f", bytes);
  return *MakeExampleSource(*Dataset::Open(fs, {"f"}), {{.name = "x", .type = {DType::kF32, {1}}}});
}

Batcher BatcherOf(std::shared_ptr<const SampleSource> source, Kind kind, int64_t block = 1024,
                  uint64_t seed = 1) {
  const Order order =
      *Order::Create({.kind = OrderKind::kBlockShuffle, .blocks = {block, 1000}}, {{kRecords, 1}});
  return Batcher(std::move(source), order, {.global_batch = kRecords, .lanes = 1}, {kind, seed});
}

float ValueAt(const Batch& batch, int64_t i) { return static_cast<const float*>(batch.input(0))[i]; }

TEST(RecordDamage, ADamagedPayloadIsProvenByItsChecksum) {
  testing::MemoryFileSystem fs;
  Put(&fs, "f", Damaged({3}));
  const auto file = *RecordFile::Open(&fs, "f");
  const absl::Status status = file->Record(3).status();
  const auto damage = DamageOf(Annotate(status, "somewhere"));  // survives annotation
  ASSERT_TRUE(damage) << status;
  EXPECT_EQ(damage->path, "f");
  EXPECT_EQ(damage->record, 3);
  EXPECT_EQ(damage->offset, file->index().OffsetOf(3));
  EXPECT_FALSE(damage->in_length);
  EXPECT_NE(damage->stored, damage->computed);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrFormat("stored %08x, computed %08x", damage->stored, damage->computed)));
  EXPECT_TRUE(file->Record(2).ok());
  EXPECT_FALSE(DamageOf(absl::OkStatus()));
  EXPECT_FALSE(DamageOf(DataError("f is missing")));
}

TEST(RecordDamage, ADamagedLengthIsToo) {
  testing::MemoryFileSystem fs;
  const std::string whole = Numbered(200);
  Put(&fs, "f", whole);
  RecordIndex index = *RecordIndex::Build("f", whole);
  std::string bytes = whole;
  const int64_t record = 101;  // not one of those by which an index is found to fit
  bytes[index.OffsetOf(record) + 8] ^= 1;
  Put(&fs, "f", bytes);
  index.set_stored({bytes.size(), (*fs.Open("f"))->modified_ns(), Compression::kNone, 0});
  ASSERT_TRUE(WriteIndex(&fs, "f", index).ok());
  const auto file = RecordFile::Open(&fs, "f");
  if (!file.ok()) GTEST_SKIP() << "the index was not taken: " << file.status();
  const auto damage = DamageOf((*file)->Record(record).status());
  ASSERT_TRUE(damage);
  EXPECT_TRUE(damage->in_length);
  EXPECT_TRUE((*file)->Record(record + 1).ok());
}

TEST(RecordDamage, ATroubledDiskIsNoDamage) {
  testing::MemoryFileSystem memory;
  Put(&memory, "f", Damaged({3}));
  testing::FaultyFileSystem fs(&memory);
  const auto file = *RecordFile::Open(&fs, "f");
  EXPECT_TRUE(DamageOf(file->Record(3).status()));
  fs.FailAt(fs.calls() + 1, DataError("f: input/output error"), testing::FaultyFileSystem::Kind::kFromThenOn);
  const absl::Status status = file->Record(3).status();
  EXPECT_FALSE(DamageOf(status));
  EXPECT_EQ(TroubleOf(status), Trouble::kData);
  EXPECT_THAT(std::string(status.message()), HasSubstr("input/output error"));
}

TEST(DamagePolicyTest, FailIsTheDefault) {
  testing::MemoryFileSystem fs;
  const Batcher batcher(SourceOf(&fs, Damaged({3})), Order(OrderKind::kSequential, 0, kRecords),
                        {.global_batch = kRecords, .lanes = 1});
  Batch batch = batcher.MakeBatch();
  const absl::Status status = batcher.Fill(0, 0, 0, &batch);
  EXPECT_EQ(TroubleOf(status), Trouble::kData);
  EXPECT_THAT(std::string(status.message()), HasSubstr("record 3: the payload"));
}

TEST(DamagePolicyTest, MaskLeavesAHoleOfWeightZero) {
  testing::MemoryFileSystem fs;
  const Batcher batcher = BatcherOf(SourceOf(&fs, Damaged({3, 7})), Kind::kMask);
  Batch batch = batcher.MakeBatch();
  for (int round = 0; round < 2; ++round) {  // the same each time, the buffers reused
    ASSERT_TRUE(batcher.Fill(round, 0, 0, &batch).ok());
    ASSERT_EQ(batch.damaged().size(), 2u);
    for (int64_t i = 0; i < kRecords; ++i) {
      const int64_t sample = batch.samples()[i];
      const bool hole = sample == 3 || sample == 7;
      EXPECT_EQ(batch.weights()[i], hole ? 0.0f : 1.0f);
      EXPECT_EQ(ValueAt(batch, i), hole ? 0.0f : static_cast<float>(sample));
    }
    for (const DamagedSample& damaged : batch.damaged()) {
      EXPECT_EQ(damaged.instead, -1);
      EXPECT_EQ(batch.samples()[damaged.position - round * kRecords], damaged.sample);
      EXPECT_EQ(damaged.record.record, damaged.sample);
    }
  }
}

TEST(DamagePolicyTest, SubstituteTakesAnotherWholeRecordOfTheBlock) {
  testing::MemoryFileSystem fs;
  const Batcher batcher = BatcherOf(SourceOf(&fs, Damaged({4, 6})), Kind::kSubstitute, /*block=*/4);
  Batch batch = batcher.MakeBatch();
  std::set<std::pair<int64_t, int64_t>> pairs;
  for (int64_t step = 0; step < 5; ++step) {
    ASSERT_TRUE(batcher.Fill(step, 0, 0, &batch).ok());
    ASSERT_EQ(batch.damaged().size(), 2u);
    for (const DamagedSample& damaged : batch.damaged()) {
      EXPECT_TRUE(damaged.instead == 5 || damaged.instead == 7) << damaged.instead;
      EXPECT_EQ(ValueAt(batch, damaged.position - step * kRecords), static_cast<float>(damaged.instead));
      pairs.insert({damaged.sample, damaged.instead});
    }
    for (int64_t i = 0; i < kRecords; ++i) EXPECT_EQ(batch.weights()[i], 1.0f);
  }
  EXPECT_EQ(pairs.size(), 2u) << "the same other record every time";
}

TEST(DamagePolicyTest, SeedsChooseOthers) {
  testing::MemoryFileSystem fs;
  const auto source = SourceOf(&fs, Damaged({4}));
  std::set<int64_t> chosen;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Batcher batcher = BatcherOf(source, Kind::kSubstitute, 1024, seed);
    Batch batch = batcher.MakeBatch();
    ASSERT_TRUE(batcher.Fill(0, 0, 0, &batch).ok());
    chosen.insert(batch.damaged()[0].instead);
  }
  EXPECT_GT(chosen.size(), 8u);
  EXPECT_EQ(chosen.count(4), 0u);
}

TEST(DamagePolicyTest, ABlockWithoutAWholeRecordFails) {
  testing::MemoryFileSystem fs;
  const Batcher batcher = BatcherOf(SourceOf(&fs, Damaged({4, 5, 6, 7})), Kind::kSubstitute, /*block=*/4);
  Batch batch = batcher.MakeBatch();
  EXPECT_THAT(std::string(batcher.Fill(0, 0, 0, &batch).message()),
              HasSubstr("none of the 4 records of a block"));
}

// A record that is whole but not what the configuration wants is no damage.
TEST(DamagePolicyTest, OtherErrorsAreNeverPassedOver) {
  for (const Kind kind : {Kind::kMask, Kind::kSubstitute}) {
    testing::MemoryFileSystem fs;
    std::vector<std::string> payloads(kRecords, ExampleMaker().Floats("x", {1}).Serialize());
    payloads[5] = ExampleMaker().Floats("x", {1, 2}).Serialize();
    const Batcher batcher = BatcherOf(SourceOf(&fs, FileOf(payloads)), kind);
    Batch batch = batcher.MakeBatch();
    EXPECT_THAT(std::string(batcher.Fill(0, 0, 0, &batch).message()), HasSubstr("record 5"));
  }
}

// The first record is tried when a source is opened; damage there is not the configuration's fault.
TEST(DamagePolicyTest, AFileWhoseFirstRecordIsDamagedCanBeOpened) {
  testing::MemoryFileSystem fs;
  const Batcher batcher = BatcherOf(SourceOf(&fs, Damaged({0})), Kind::kMask);
  Batch batch = batcher.MakeBatch();
  ASSERT_TRUE(batcher.Fill(0, 0, 0, &batch).ok());
  EXPECT_EQ(batch.damaged().size(), 1u);
}

TEST(OrderTest, BlocksEndWithTheirPart) {
  const Order order = *Order::Create({.kind = OrderKind::kBlockShuffle, .blocks = {4, 2}}, {{10, 1}, {5, 1}});
  EXPECT_EQ(order.BlockOf(0), std::make_pair(int64_t{0}, int64_t{4}));
  EXPECT_EQ(order.BlockOf(7), std::make_pair(int64_t{4}, int64_t{4}));
  EXPECT_EQ(order.BlockOf(9), std::make_pair(int64_t{8}, int64_t{2}));
  EXPECT_EQ(order.BlockOf(10), std::make_pair(int64_t{10}, int64_t{4}));
  EXPECT_EQ(order.BlockOf(14), std::make_pair(int64_t{14}, int64_t{1}));
  EXPECT_EQ(Order(OrderKind::kShuffle, 0, 3000).BlockOf(2999), std::make_pair(int64_t{2048}, int64_t{952}));
}

}  // namespace
}  // namespace lockstep::data
