#include "runtime/data/record_index.h"

#include <chrono>
#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/rng.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record_file.h"
#include "runtime/data/record_sidecar.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::string> RecordsOf(const std::vector<uint64_t>& lengths) {
  std::vector<std::string> records;
  for (uint64_t length : lengths) records.emplace_back(length, static_cast<char>(records.size()));
  return records;
}

std::vector<uint64_t> Random(size_t count, uint64_t below) {
  std::vector<uint64_t> lengths;
  for (size_t i = 0; i < count; ++i) lengths.push_back(Mix64(i) % below);
  return lengths;
}

// ---- Where records begin ---------------------------------------------------------------------------------

class OffsetsTest : public ::testing::TestWithParam<std::vector<uint64_t>> {};
INSTANTIATE_TEST_SUITE_P(Each, OffsetsTest,
                         ::testing::Values(std::vector<uint64_t>{}, std::vector<uint64_t>{0},
                                           std::vector<uint64_t>(63, 5), std::vector<uint64_t>(64, 5),
                                           std::vector<uint64_t>(65, 5), std::vector<uint64_t>(1000, 300),
                                           Random(500, 4), Random(500, 1000), Random(300, 100000)));

TEST_P(OffsetsTest, AreThoseOfTheFileAlsoWhenStored) {
  const std::vector<uint64_t>& lengths = GetParam();
  const std::string bytes = FileOf(RecordsOf(lengths));
  const auto built = RecordIndex::Build("f", bytes);
  ASSERT_TRUE(built.ok()) << built.status();
  const auto index = RecordIndex::Decode("f.lsidx", built->Encode());
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_TRUE(*index == *built);
  ASSERT_EQ(index->records(), static_cast<int64_t>(lengths.size()));
  uint64_t offset = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    ASSERT_EQ(index->OffsetOf(static_cast<int64_t>(i)), offset) << i;
    ASSERT_EQ(index->LengthOf(static_cast<int64_t>(i)), lengths[i]) << i;
    offset += lengths[i] + kRecordFramingBytes;
  }
  EXPECT_EQ(index->OffsetOf(index->records()), offset);
  EXPECT_EQ(index->size_bytes(), bytes.size());
  EXPECT_TRUE(index->Fits(bytes, index->records()));
}

TEST(RecordIndexTest, RestsAreOfEightBytesWhereNeeded) {
  RecordIndexBuilder builder;
  uint64_t offset = 0;
  std::vector<uint64_t> offsets;
  for (int i = 0; i < 70; ++i) {
    const uint64_t length = i % 3 == 0 ? uint64_t{1} << 40 : 1;
    offsets.push_back(offset);
    offset += length + kRecordFramingBytes;
    builder.Add(length, 0);
  }
  const auto index = RecordIndex::Decode("i", builder.Finish().Encode());
  ASSERT_TRUE(index.ok()) << index.status();
  for (int i = 0; i < 70; ++i) EXPECT_EQ(index->OffsetOf(i), offsets[static_cast<size_t>(i)]);
}

TEST(RecordIndexTest, TakesLittleMemory) {
  RecordIndexBuilder equal, mixed;
  for (uint64_t i = 0; i < 100000; ++i) {
    equal.Add(3072, 0);
    mixed.Add(100 + Mix64(i) % 400, 0);
  }
  EXPECT_LT(equal.Finish().memory_bytes(), 20000u);   // 12 bytes for 64 records
  EXPECT_LT(mixed.Finish().memory_bytes(), 220000u);  // and two for each record
}

TEST(RecordIndexTest, ContentHashTellsEqualLengthsApart) {
  EXPECT_NE(RecordIndex::Build("f", FileOf({"zero", "one"}))->content_hash(),
            RecordIndex::Build("f", FileOf({"zero", "two"}))->content_hash());
}

TEST(RecordIndexTest, EveryDamageAndCutIsFound) {
  const std::string good = RecordIndex::Build("f", FileOf({"zero", "one"}))->Encode();
  ASSERT_TRUE(RecordIndex::Decode("f.lsidx", good).ok());
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      EXPECT_FALSE(RecordIndex::Decode("f.lsidx", bad).ok()) << at;
    }
    EXPECT_FALSE(RecordIndex::Decode("f.lsidx", good.substr(0, at)).ok()) << at;
  }
}

// Right checksums around numbers that lie: nothing is believed that the others contradict, and nothing is
// allocated for it.
TEST(RecordIndexTest, ForgedNumbersAreRefused) {
  const std::string good = RecordIndex::Build("f", FileOf(RecordsOf(Random(100, 50))))->Encode();
  const auto forge = [&](size_t at, uint64_t value, size_t bytes) {
    std::string bad = good.substr(0, good.size() - 4);
    std::memcpy(bad.data() + at, &value, bytes);
    const uint32_t crc = MaskedCrcOf(bad.data(), bad.size());
    return bad.append(reinterpret_cast<const char*>(&crc), 4);
  };
  EXPECT_TRUE(RecordIndex::Decode("i", forge(48, 7, 8)).ok());  // the content hash may be anything
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{1}, uint64_t{3}, uint64_t{16}, uint64_t{99}, uint64_t{101}, uint64_t{1} << 32,
        uint64_t{1} << 60, uint64_t{1} << 63, ~uint64_t{0}}) {
    EXPECT_FALSE(RecordIndex::Decode("i", forge(32, value, 8)).ok()) << "stream size " << value;
    EXPECT_FALSE(RecordIndex::Decode("i", forge(40, value, 8)).ok()) << "records " << value;
    EXPECT_FALSE(RecordIndex::Decode("i", forge(64, value, 8)).ok() && value != 1) << "width " << value;
    EXPECT_FALSE(RecordIndex::Decode("i", forge(72 + 8, value, 8)).ok()) << "second base " << value;
    EXPECT_FALSE(RecordIndex::Decode("i", forge(56, value, 8)).ok() && value != 16) << "step " << value;
  }
  EXPECT_FALSE(RecordIndex::Decode("i", forge(24, kCompressions, 4)).ok());
}

// ---- The sidecar -----------------------------------------------------------------------------------------

class SidecarTest : public ::testing::Test {
 protected:
  void Index(const std::vector<std::string>& of) {
    const std::string bytes = FileOf(of);
    ASSERT_TRUE(WriteSidecar(&fs_, "f", {.size_bytes = bytes.size()}, *RecordIndex::Build("f", bytes)).ok());
  }
  // Whether the sidecar was taken for the file's; the error where there is one.
  absl::StatusOr<bool> Taken() {
    ASSIGN_OR_RETURN(const RecordBytes bytes, RecordBytes::Open(&fs_, "f"));
    ASSIGN_OR_RETURN(const auto index, ReadSidecar(&fs_, "f", bytes));
    return index.has_value();
  }
  testing::MemoryFileSystem fs_;
};

TEST_F(SidecarTest, IsTakenWhereItFits) {
  Put(&fs_, "f", FileOf({"zero", "one", "two"}));
  EXPECT_FALSE(*Taken());
  Index({"zero", "one", "two"});
  EXPECT_TRUE(*Taken());
}

TEST_F(SidecarTest, FindsRecordsBehindADamagedLength) {
  const std::vector<std::string> records = RecordsOf(std::vector<uint64_t>(1000, 8));
  std::string bytes = FileOf(records);
  Index(records);
  bytes[24 * 3] ^= 1;  // record 3 is none of those that are probed
  Put(&fs_, "f", bytes);
  auto file = RecordFile::Open(&fs_, "f");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT((*file)->Record(3).status().message(),
              HasSubstr("f, byte 72, record 3: the length is damaged"));
  EXPECT_EQ(*(*file)->Record(4), records[4]);
}

TEST_F(SidecarTest, OfAnotherFileIsPassedOver) {
  Put(&fs_, "f", FileOf({"zero", "one", "two"}));
  for (const auto& other : std::vector<std::vector<std::string>>{
           {"zero", "one", "twos"}, {"zer", "ones", "two"}, {"ZERO", "one", "two"}, {"zero", "onetwo"}}) {
    Index(other);
    EXPECT_FALSE(*Taken()) << other.back();
    auto file = RecordFile::Open(&fs_, "f");
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->records(), 3);
    EXPECT_EQ(*(*file)->Record(2), "two");
  }
}

// A data set made anew with records of the same lengths: the fingerprint must not come from the old index.
TEST_F(SidecarTest, OfOtherContentsOfTheSameLengthsIsPassedOver) {
  Index(std::vector<std::string>(200, "aaaa"));
  Put(&fs_, "f", FileOf(std::vector<std::string>(200, "bbbb")));
  EXPECT_FALSE(*Taken());
}

TEST_F(SidecarTest, ShowsThatAFileWasCutBetweenTwoRecords) {
  const std::string whole = FileOf({"zero", "one", "two"});
  Index({"zero", "one", "two"});
  Put(&fs_, "f", whole.substr(0, 20));
  EXPECT_EQ(RecordFile::Open(&fs_, "f").status().message(),
            "f is cut short: it ends after record 0 at byte 20, and its index f.lsidx says that it has 3 "
            "records in "
            "58 bytes; if it is meant to be shorter, run `lockstep records index` on it");
}

// Every cut of a file with an index, at record borders too.
TEST_F(SidecarTest, EveryTruncationIsFound) {
  const std::string whole = FileOf({"first", "", "third"});
  Index({"first", "", "third"});
  for (size_t size = 0; size < whole.size(); ++size) {
    Put(&fs_, "f", whole.substr(0, size));
    EXPECT_FALSE(RecordFile::Open(&fs_, "f").ok()) << size;
  }
}

TEST_F(SidecarTest, DamagedOrNoneAtAllIsPassedOver) {
  Put(&fs_, "f", FileOf({"zero"}));
  for (const char* contents : {"", "no index", "LSIDX"}) {
    Put(&fs_, "f.lsidx", contents);
    EXPECT_FALSE(*Taken());
    EXPECT_TRUE(RecordFile::Open(&fs_, "f").ok());
  }
}

TEST(SidecarTimeTest, OfAFileChangedLaterIsPassedOver) {
  const std::string path = ::testing::TempDir() + "/sidecar_time_test";
  FileSystem* fs = RealFileSystem();
  std::vector<std::string> records(200, "aaaa");
  Put(fs, path, FileOf(records));
  const auto taken = [&] {
    auto bytes = RecordBytes::Open(fs, path);
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return ReadSidecar(fs, path, *bytes)->has_value();
  };
  {
    auto bytes = RecordBytes::Open(fs, path);
    ASSERT_TRUE(WriteSidecar(fs, path, bytes->stored(), *RecordIndex::Build(path, bytes->view())).ok());
  }
  EXPECT_TRUE(taken());
  const std::string before = (*Dataset::Open(fs, {path}))->fingerprint();
  // A record that no probe looks at becomes another of the same length.
  records[5] = "bbbb";
  Put(fs, path, FileOf(records));
  std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::seconds(1));
  EXPECT_FALSE(taken());
  EXPECT_NE((*Dataset::Open(fs, {path}))->fingerprint(), before);
  std::filesystem::remove(path);
  std::filesystem::remove(path + ".lsidx");
}

}  // namespace
}  // namespace lockstep::data
