// Files compressed as a whole: read as TensorFlow and others write them, and no damage goes unseen.
#include "runtime/data/compression.h"

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

const std::vector<std::string> kRecords = {"first", "", "the third, the third, the third"};
constexpr Compression kPacked[] = {Compression::kGzip, Compression::kZlib, Compression::kZstd};

std::string Packed(const std::vector<std::string>& records, Compression compression) {
  testing::MemoryFileSystem fs;
  auto writer = *RecordWriter::Create(&fs, "f", {.compression = compression});
  for (const std::string& record : records) EXPECT_TRUE(writer->Write(record).ok());
  EXPECT_TRUE(writer->Close().ok());
  return *ReadWholeFile(&fs, "f");
}

class CompressionTest : public ::testing::TestWithParam<Compression> {
 protected:
  // The records, or the error.
  absl::StatusOr<std::vector<std::string>> ReadAll(RecordFileOptions options = {}) {
    ASSIGN_OR_RETURN(const auto file, RecordFile::Open(&fs_, "f", options));
    std::vector<std::string> records;
    for (int64_t i = 0; i < file->records(); ++i) {
      ASSIGN_OR_RETURN(const absl::string_view record, file->Record(i));
      records.emplace_back(record);
    }
    return records;
  }
  std::string Error(RecordFileOptions options = {}) {
    const absl::Status status = ReadAll(options).status();
    EXPECT_EQ(TroubleOf(status), Trouble::kData) << status;
    return std::string(status.message());
  }
  void PutIndex() {
    auto bytes = RecordBytes::Open(&fs_, "f");
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_TRUE(WriteSidecar(&fs_, "f", bytes->stored(), *RecordIndex::Build("f", bytes->view())).ok());
  }
  testing::MemoryFileSystem fs_;
};

INSTANTIATE_TEST_SUITE_P(Each, CompressionTest, ::testing::ValuesIn(kPacked),
                         [](const auto& info) { return std::string(NameOf(info.param)); });

TEST_P(CompressionTest, RoundTrip) {
  Put(&fs_, "f", Packed(kRecords, GetParam()));
  EXPECT_EQ(*ReadAll(), kRecords);
  EXPECT_EQ(DetectCompression(*ReadWholeFile(&fs_, "f")), GetParam());
}

TEST_P(CompressionTest, LargeRecordsThatCompressWellAndNotAtAll) {
  std::string noise(size_t{3} << 20, '\0');
  for (size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<char>(Mix64(i));
  const std::vector<std::string> records = {noise, std::string(size_t{20} << 20, 'x'), "end"};
  const std::string packed = Packed(records, GetParam());
  EXPECT_LT(packed.size(), size_t{4} << 20);
  Put(&fs_, "f", packed);
  EXPECT_EQ(*ReadAll(), records);
}

TEST_P(CompressionTest, EveryTruncationIsFound) {
  const std::string whole = Packed(kRecords, GetParam());
  for (size_t size = 0; size < whole.size(); ++size) {
    Put(&fs_, "f", whole.substr(0, size));
    EXPECT_THAT(Error(), HasSubstr("f")) << size;
  }
}

// A stream has bits that mean nothing (times, names of systems, padding). Whoever flips one gets the same
// records, proven by their own checksums; anything else is an error that says where.
TEST_P(CompressionTest, EveryFlippedBitIsFoundOrChangesNothing) {
  const std::string whole = Packed(kRecords, GetParam());
  int found = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = whole;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      Put(&fs_, "f", bad);
      const auto records = ReadAll();
      if (records.ok()) {
        EXPECT_EQ(*records, kRecords) << at << " " << bit;
        continue;
      }
      ++found;
      EXPECT_THAT(Error(), AllOf(HasSubstr("f"), HasSubstr("byte"))) << at << " " << bit;
    }
  }
  EXPECT_GT(found, static_cast<int>(whole.size()) * 8 * 4 / 5);
}

TEST_P(CompressionTest, WithAnIndexEveryFlippedBitIsFound) {
  const std::string whole = Packed(kRecords, GetParam());
  Put(&fs_, "f", whole);
  PutIndex();
  EXPECT_EQ(*ReadAll(), kRecords);
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = whole;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      Put(&fs_, "f", bad);
      EXPECT_FALSE(ReadAll().ok()) << at << " " << bit;
    }
  }
}

TEST_P(CompressionTest, DamageNamesTheRecordWhereItShows) {
  // Stored blocks of random bytes stay where they are, so one of them can be aimed at.
  std::string noise(5000, '\0');
  for (size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<char>(Mix64(i));
  std::string bytes = Packed({"zero", noise, "two"}, GetParam());
  const size_t at = bytes.find(noise.substr(2000, 100));
  if (at == std::string::npos) GTEST_SKIP() << "this compressor found something to save in noise";
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  Put(&fs_, "f", bytes);
  EXPECT_THAT(Error(), AllOf(HasSubstr(std::string(NameOf(GetParam())) + " stream"),
                             HasSubstr("record 1: the payload of 5000 bytes is damaged")));
}

TEST_P(CompressionTest, BytesBehindTheEndAreFound) {
  Put(&fs_, "f", Packed(kRecords, GetParam()) + "more");
  EXPECT_THAT(Error(), HasSubstr("f, "));
}

TEST_P(CompressionTest, WrongTypeIsNamed) {
  Put(&fs_, "f", Packed(kRecords, GetParam()));
  for (int i = 0; i < kCompressions; ++i) {
    const auto wanted = static_cast<Compression>(i);
    const RecordFileOptions options{.bytes = {.compression = wanted}};
    if (wanted == GetParam()) {
      EXPECT_TRUE(ReadAll(options).ok());
      continue;
    }
    EXPECT_EQ(Error(options),
              absl::StrCat("f has the wrong compression type: data.compression says ", NameOf(wanted),
                           ", and the file is ", NameOf(GetParam()), " by its first bytes"));
  }
}

TEST_P(CompressionTest, PlainFileOfWrongType) {
  Put(&fs_, "f", FileOf(kRecords));
  EXPECT_THAT(Error({.bytes = {.compression = GetParam()}}),
              AllOf(HasSubstr(std::string("data.compression says ") + std::string(NameOf(GetParam()))),
                    HasSubstr("does not begin as a compressed file (first bytes 05 00 00 00)")));
  EXPECT_TRUE(ReadAll({.bytes = {.compression = Compression::kNone}}).ok());
}

TEST_P(CompressionTest, BombEndsAtTheBudget) {
  Put(&fs_, "f", Packed({std::string(size_t{64} << 20, 'x')}, GetParam()));
  auto budget = std::make_shared<MemoryBudget>(size_t{16} << 20);
  EXPECT_THAT(Error({.bytes = {.budget = budget}}),
              AllOf(HasSubstr("the 16777216 bytes of memory for decompressed data are used up"),
                    HasSubstr("16777216 bytes decompressed")));
  EXPECT_EQ(budget->Take(~uint64_t{0}), size_t{16} << 20);  // all was given back
}

TEST_P(CompressionTest, FilesShareABudgetAndGiveItBack) {
  const std::string packed = Packed({std::string(size_t{6} << 20, 'x')}, GetParam());
  Put(&fs_, "a", packed);
  Put(&fs_, "b", packed);
  EXPECT_TRUE(Dataset::Open(&fs_, {"a", "b"}, {.unpacked_limit_bytes = size_t{20} << 20}).ok());
  EXPECT_FALSE(Dataset::Open(&fs_, {"a", "b"}, {.unpacked_limit_bytes = size_t{10} << 20}).ok());
}

TEST_P(CompressionTest, FingerprintIsThatOfThePlainFile) {
  ASSERT_TRUE(fs_.CreateFolders("d").ok() && fs_.CreateFolders("e").ok());
  Put(&fs_, "d/x.tfrecord", FileOf(kRecords));
  const std::string name = absl::StrCat("e/x.tfrecord", SuffixOf(GetParam()));
  Put(&fs_, name, Packed(kRecords, GetParam()));
  const auto plain = Dataset::Open(&fs_, {"d/x.tfrecord"}), packed = Dataset::Open(&fs_, {name});
  ASSERT_TRUE(plain.ok() && packed.ok()) << packed.status();
  EXPECT_EQ((*packed)->fingerprint(), (*plain)->fingerprint());
  Put(&fs_, name, Packed({"other"}, GetParam()));
  EXPECT_NE((*Dataset::Open(&fs_, {name}))->fingerprint(), (*plain)->fingerprint());
}

TEST_P(CompressionTest, NoRecords) {
  Put(&fs_, "f", Packed({}, GetParam()));
  EXPECT_EQ(Error(), "f is empty: decompressed it has 0 bytes, no record");
}

TEST_P(CompressionTest, WriterMakesTheIndexAsItGoes) {
  auto writer = *RecordWriter::Create(&fs_, "f", {.compression = GetParam(), .write_index = true});
  for (const std::string& record : kRecords) ASSERT_TRUE(writer->Write(record).ok());
  ASSERT_TRUE(writer->Close().ok());
  const std::string made = *ReadWholeFile(&fs_, "f.lsidx");
  PutIndex();
  EXPECT_EQ(*ReadWholeFile(&fs_, "f.lsidx"), made);
}

class SeveralTest : public CompressionTest {};
INSTANTIATE_TEST_SUITE_P(Each, SeveralTest, ::testing::Values(Compression::kGzip, Compression::kZstd),
                         [](const auto& info) { return std::string(NameOf(info.param)); });

// As `cat a.gz b.gz` makes them; a record may lie across the border.
TEST_P(SeveralTest, MembersOneBehindAnother) {
  const std::string a = Packed({"one"}, GetParam()), b = Packed({"two", "three"}, GetParam());
  Put(&fs_, "f", a + b + a);
  EXPECT_EQ(*ReadAll(), (std::vector<std::string>{"one", "two", "three", "one"}));
  for (size_t size = a.size() + 1; size < a.size() + b.size(); ++size) {
    Put(&fs_, "f", (a + b).substr(0, size));
    EXPECT_FALSE(ReadAll().ok()) << size;
  }
}

// Cut between two members, and so between two records: nothing in the file shows it, but its index does.
TEST_P(SeveralTest, CutBetweenMembersIsFoundByTheIndex) {
  const std::string a = Packed({"one"}, GetParam()), b = Packed({"two"}, GetParam());
  Put(&fs_, "f", a + b);
  PutIndex();
  Put(&fs_, "f", a);
  EXPECT_THAT(Error(),
              AllOf(HasSubstr("f is cut short: it ends after record 0"), HasSubstr("has 2 records")));
}

TEST(ZlibTest, SecondStreamIsRefused) {
  testing::MemoryFileSystem fs;
  const std::string stream = Packed(kRecords, Compression::kZlib);
  Put(&fs, "f", stream + stream);
  EXPECT_THAT(RecordFile::Open(&fs, "f").status().message(),
              HasSubstr(absl::StrCat(stream.size(), " more bytes behind the end of the stream")));
}

TEST(DetectTest, ARecordHeaderIsStrongerThanMagicNumbers) {
  // A record of 0x8b1f bytes begins as gzip does.
  const std::string file = FileOf({std::string(0x8b1f, 'x')});
  ASSERT_EQ(file.substr(0, 2), "\x1f\x8b");
  EXPECT_EQ(DetectCompression(file), Compression::kNone);
  EXPECT_EQ(DetectCompression(""), Compression::kNone);
  EXPECT_EQ(DetectCompression("x"), Compression::kNone);
}

TEST(NamesTest, ParseAndEndings) {
  for (int i = 0; i < kCompressions; ++i) {
    const auto compression = static_cast<Compression>(i);
    EXPECT_EQ(*ParseCompression(NameOf(compression)), compression);
    EXPECT_EQ(PlainName(absl::StrCat("x", SuffixOf(compression)), compression), "x");
  }
  EXPECT_THAT(ParseCompression("rar").status().message(), HasSubstr("none, gzip, zlib and zstd"));
  EXPECT_EQ(PlainName("x.gz", Compression::kZstd), "x.gz");
  EXPECT_EQ(PlainName("x.gz", Compression::kNone), "x.gz");
}

// ---- Files that TensorFlow wrote (scripts/golden/make_records.py) ----------------------------------------

class TensorFlowTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Each, TensorFlowTest, ::testing::Values("gzip", "zlib", "gzip_several"));

TEST_P(TensorFlowTest, HoldsTheRecordsOfThePlainFile) {
  const std::string folder = LOCKSTEP_SOURCE_DIR "/tests/testing/golden/";
  auto plain = Dataset::Open(RealFileSystem(), {folder + "tensorflow.tfrecord"});
  auto packed =
      Dataset::Open(RealFileSystem(), {absl::StrCat(folder, "tensorflow_", GetParam(), ".tfrecord")});
  ASSERT_TRUE(plain.ok()) << plain.status();
  ASSERT_TRUE(packed.ok()) << packed.status();
  ASSERT_EQ((*packed)->size(), (*plain)->size());
  for (int64_t i = 0; i < (*plain)->size(); ++i) EXPECT_EQ(*(*packed)->Record(i), *(*plain)->Record(i));
}

}  // namespace
}  // namespace lockstep::data
