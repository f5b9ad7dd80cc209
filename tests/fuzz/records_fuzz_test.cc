// Framing, compressed streams and indexes of mutated bytes: an error or records, bounded memory, no crash.
#include <cstring>

#include "gtest/gtest.h"
#include "runtime/data/dali_index.h"
#include "runtime/data/record_file.h"
#include "runtime/data/record_sidecar.h"
#include "runtime/data/record_writer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

std::string FileOf(Compression compression) {
  lockstep::testing::MemoryFileSystem fs;
  auto writer = *RecordWriter::Create(&fs, "f", {.compression = compression});
  for (const std::string record : {"zero", "", "the third, the third, the third"})
    EXPECT_TRUE(writer->Write(record).ok());
  EXPECT_TRUE(writer->Close().ok());
  return *ReadWholeFile(&fs, "f");
}

TEST(RecordsFuzzTest, Files) {
  std::vector<std::string> seeds;
  for (int i = 0; i < kCompressions; ++i) seeds.push_back(FileOf(static_cast<Compression>(i)));
  lockstep::testing::Fuzz("record_files", seeds, [](const std::string& input) {
    lockstep::testing::MemoryFileSystem fs;
    ASSERT_TRUE(WriteFileAtomically(&fs, "f", input).ok());
    const auto budget = std::make_shared<MemoryBudget>(size_t{8} << 20);
    auto file = RecordFile::Open(&fs, "f", {.bytes = {.budget = budget}});
    if (!file.ok()) return;
    for (int64_t i = 0; i < (*file)->records(); ++i) (void)(*file)->Record(i);
  });
}

TEST(RecordsFuzzTest, Indexes) {
  const std::string bytes = FileOf(Compression::kNone);
  RecordIndexBuilder mixed;
  for (uint64_t i = 0; i < 200; ++i) mixed.Add(i * i, static_cast<uint32_t>(i));
  lockstep::testing::Fuzz("record_indexes",
                          {RecordIndex::Build("f", bytes)->Encode(), mixed.Finish().Encode()},
                          [&](std::string input) {
                            // With a right checksum, so that what lies behind it is reached.
                            if (input.size() >= 4) {
                              const uint32_t crc = MaskedCrcOf(input.data(), input.size() - 4);
                              std::memcpy(input.data() + input.size() - 4, &crc, 4);
                            }
                            const auto index = RecordIndex::Decode("i", input);
                            if (!index.ok()) return;
                            for (int64_t i = 0; i < index->records(); ++i)
                              ASSERT_LE(index->OffsetOf(i) + index->LengthOf(i), index->size_bytes());
                            (void)index->Fits(bytes, index->records());
                            EXPECT_TRUE(*RecordIndex::Decode("i", index->Encode()) == *index);
                          });
}

TEST(RecordsFuzzTest, DaliIndexes) {
  const std::string bytes = FileOf(Compression::kNone);
  lockstep::testing::Fuzz(
      "dali_indexes", {EncodeDaliIndex(*RecordIndex::Build("f", bytes))},
      [&](const std::string& input) { (void)DecodeDaliIndex("f.idx", input, "f", bytes); });
}

}  // namespace
}  // namespace lockstep::data
