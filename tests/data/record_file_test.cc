// Damage of every kind is found, and its place is named.
#include "runtime/data/record_file.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/dataset.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One record file "f" on a disk in memory, and what reading it says.
class RecordFileTest : public ::testing::Test {
 protected:
  void Write(const std::string& bytes) { Put(&fs_, "f", bytes_ = bytes); }
  void SetByte(size_t at, char value) {
    bytes_[at] = value;
    Write(bytes_);
  }
  void FlipBit(size_t at, int bit) { SetByte(at, static_cast<char>(bytes_[at] ^ (1 << bit))); }
  void CutTo(size_t size) { Write(bytes_.substr(0, size)); }
  // Makes the header at `at` claim `length`, with a right checksum.
  void ClaimLength(size_t at, uint64_t length) {
    EncodeRecordHeader(length, bytes_.data() + at);
    Write(bytes_);
  }

  // Opening, or reading every record: the first error, or "".
  std::string ErrorOfFile() {
    auto file = RecordFile::Open(&fs_, "f");
    if (!file.ok()) return Text(file.status());
    for (int64_t i = 0; i < (*file)->records(); ++i) {
      auto record = (*file)->Record(i);
      if (!record.ok()) return Text(record.status());
    }
    return "";
  }
  std::string ErrorOfScan(std::vector<std::string>* payloads = nullptr) {
    auto bytes = RecordBytes::Open(&fs_, "f");
    if (!bytes.ok()) return Text(bytes.status());
    RecordScanner scan("f", bytes->view());
    while (scan.Next()) {
      if (payloads != nullptr) payloads->emplace_back(scan.payload());
    }
    return scan.status().ok() ? "" : Text(scan.status());
  }
  static std::string Text(const absl::Status& status) {
    EXPECT_EQ(TroubleOf(status), Trouble::kData) << status;
    return std::string(status.message());
  }

  testing::MemoryFileSystem fs_;
  std::string bytes_;
};

TEST_F(RecordFileTest, ReadsRecordsInAnyOrder) {
  Write(FileOf({"zero", "", "two is longer"}));
  auto file = RecordFile::Open(&fs_, "f");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->records(), 3);
  EXPECT_EQ(*(*file)->Record(2), "two is longer");
  EXPECT_EQ(*(*file)->Record(0), "zero");
  EXPECT_EQ(*(*file)->Record(1), "");
}

TEST_F(RecordFileTest, ScanReadsAllAndStops) {
  Write(FileOf({"a", "b"}));
  std::vector<std::string> payloads;
  EXPECT_EQ(ErrorOfScan(&payloads), "");
  EXPECT_THAT(payloads, ElementsAre("a", "b"));
}

TEST_F(RecordFileTest, ChecksumOfKnownBytes) {
  // From the documentation of TensorBoard's reader (tensorboard/data/server/masked_crc.rs).
  EXPECT_EQ(MaskedCrcOf("\x1a\x11"
                        "CRC test, one two",
                        19),
            0x5794d08au);
}

TEST_F(RecordFileTest, MissingFile) { EXPECT_THAT(ErrorOfFile(), HasSubstr("f")); }

TEST_F(RecordFileTest, EmptyFile) {
  Write("");
  EXPECT_EQ(ErrorOfFile(), "f is empty: 0 bytes, no record");
}

TEST_F(RecordFileTest, Folder) {
  const std::string folder = ::testing::TempDir();
  auto file = RecordFile::Open(RealFileSystem(), folder);
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(Text(file.status()), HasSubstr(folder));
}

TEST_F(RecordFileTest, DamagedPayloadNamesFileByteRecordAndChecksums) {
  Write(FileOf({"first", "second"}));
  const std::string stored = absl::StrCat(absl::Hex(MaskedCrcOf("second", 6), absl::kZeroPad8));
  SetByte(21 + 12, 'S');  // the first record takes 16 + 5 bytes
  const std::string computed = absl::StrCat(absl::Hex(MaskedCrcOf("Second", 6), absl::kZeroPad8));
  EXPECT_EQ(ErrorOfFile(), "f, byte 21, record 1: the payload of 6 bytes is damaged (checksum stored " +
                               stored + ", computed " + computed + ")");
  EXPECT_EQ(ErrorOfScan(), ErrorOfFile());
}

TEST_F(RecordFileTest, DamagedLengthNamesPlaceAndEndsTheFile) {
  Write(FileOf({"first", "second"}));
  FlipBit(21, 0);
  EXPECT_THAT(ErrorOfFile(), AllOf(HasSubstr("f, byte 21, record 1: the length is damaged (7;"),
                                   HasSubstr("nothing behind it can be found")));
}

TEST_F(RecordFileTest, LengthBeyondTheFile) {
  Write(FileOf({"first", "second"}));
  ClaimLength(21, 1000);
  EXPECT_EQ(ErrorOfFile(),
            "f is cut short: record 1 at byte 21 has a payload of 1000 bytes, and the file ends 22 "
            "bytes after its start");
}

TEST_F(RecordFileTest, HugeLengthsAllocateNothing) {
  Write(FileOf({"first", "second"}));
  for (uint64_t length : {uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 15, uint64_t{1} << 40}) {
    ClaimLength(21, length);
    EXPECT_THAT(ErrorOfFile(), HasSubstr("cut short: record 1")) << length;
    EXPECT_THAT(ErrorOfScan(), HasSubstr("cut short: record 1")) << length;
  }
}

TEST_F(RecordFileTest, EveryTruncationIsFound) {
  const std::string whole = FileOf({"first", "", "third"});
  for (size_t size = 1; size < whole.size(); ++size) {
    if (size == 21 || size == 37) continue;  // whole records: a shorter file, but no damage
    Write(whole.substr(0, size));
    EXPECT_NE(ErrorOfFile(), "") << size;
    EXPECT_THAT(ErrorOfScan(), HasSubstr("f")) << size;
  }
}

TEST_F(RecordFileTest, EveryFlippedBitIsFoundAndItsRecordNamed) {
  const std::string whole = FileOf({"first", "", "third"});
  for (size_t at = 0; at < whole.size(); ++at) {
    const std::string record = absl::StrCat("record ", at < 21 ? 0 : at < 37 ? 1 : 2);
    for (int bit = 0; bit < 8; ++bit) {
      Write(whole);
      FlipBit(at, bit);
      EXPECT_THAT(ErrorOfFile(), HasSubstr(record)) << at << " " << bit;
      EXPECT_THAT(ErrorOfScan(), HasSubstr(record)) << at << " " << bit;
    }
  }
}

TEST_F(RecordFileTest, WhatBeginsAsACompressedFileIsReadAsOne) {
  Write(std::string("\x1f\x8b\x08\x00", 4) + " and so on, compressed");
  EXPECT_THAT(ErrorOfFile(), HasSubstr("f, GZIP stream, at about byte"));
  Write("\x78\x9c and so on, compressed");
  EXPECT_THAT(ErrorOfFile(), HasSubstr("f, ZLIB stream, at about byte"));
}

TEST_F(RecordFileTest, TextIsNoRecordFile) {
  Write("In the beginning God created the heaven and the earth.");
  EXPECT_THAT(ErrorOfFile(), HasSubstr("not a TFRecord file"));
  Write("short");
  EXPECT_THAT(ErrorOfFile(), HasSubstr("f has only 5 bytes"));
}

TEST_F(RecordFileTest, SkipGoesOnBehindADamagedPayload) {
  Write(FileOf({"zero", "one", "two"}));
  SetByte(20 + 12, 'O');
  RecordScanner scan("f", bytes_);
  ASSERT_TRUE(scan.Next());
  ASSERT_FALSE(scan.Next());
  ASSERT_TRUE(scan.Skip());
  ASSERT_TRUE(scan.Next());
  EXPECT_EQ(scan.payload(), "two");
  EXPECT_EQ(scan.record(), 2);
  EXPECT_FALSE(scan.Next());
  EXPECT_TRUE(scan.status().ok());
}

TEST_F(RecordFileTest, SkipCannotPassADamagedLength) {
  Write(FileOf({"zero", "one", "two"}));
  FlipBit(20, 3);
  RecordScanner scan("f", bytes_);
  ASSERT_TRUE(scan.Next());
  ASSERT_FALSE(scan.Next());
  EXPECT_FALSE(scan.Skip());
  EXPECT_FALSE(scan.Next());
}

// ---- Files that TensorFlow wrote
// -----------------------------------------------------------------------------------

TEST(GoldenRecordsTest, ReadsTensorFlowsFile) {
  const std::string path = LOCKSTEP_SOURCE_DIR "/tests/testing/golden/tensorflow.tfrecord";
  auto dataset = Dataset::Open(RealFileSystem(), {path});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->size(), 5);
  for (int64_t i = 0; i < 5; ++i) {  // scripts/golden/make_records.py
    auto record = (*dataset)->Record(i);
    ASSERT_TRUE(record.ok()) << record.status();
    records::Example example;
    ASSERT_TRUE(example.ParseFromArray(record->data(), static_cast<int>(record->size())));
    const auto& features = example.features().feature();
    EXPECT_EQ(features.at("label").int64_list().value(0), i - 2);
    EXPECT_EQ(features.at("image").bytes_list().value(0),
              std::string(static_cast<size_t>(3 * i), static_cast<char>(i)));
    EXPECT_EQ(features.at("x").float_list().value_size(), 2);
  }
}

}  // namespace
}  // namespace lockstep::data
