// Record files of any bytes, plain and compressed: an error or records, in bounded memory.
#include "runtime/data/record_file.h"

#include <cstring>

#include "runtime/data/record_format.h"
#include "tests/fuzz/record_samples.h"

namespace lockstep::testing {

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (int i = 0; i < data::kCompressions; ++i)
    seeds.push_back(SampleRecordFile(static_cast<data::Compression>(i)));
  return seeds;
}

namespace {

// The CRCs of the lengths made right, as far as they lead, so that the lengths are believed.
std::string WithRightLengths(std::string input) {
  for (size_t at = 0; input.size() - at >= data::kRecordFramingBytes;) {
    const uint32_t crc = data::MaskedCrcOf(input.data() + at, sizeof(uint64_t));
    std::memcpy(input.data() + at + sizeof(uint64_t), &crc, sizeof crc);
    const uint64_t length = data::LoadU64(input.data() + at);
    if (length > input.size() - at - data::kRecordFramingBytes) break;
    at += data::kRecordFramingBytes + length;
  }
  return input;
}

void Read(const std::string& input) {
  MemoryFileSystem disk;
  Require(WriteFileAtomically(&disk, "f", input).ok(), "the disk takes it");
  const auto budget = std::make_shared<data::MemoryBudget>(size_t{8} << 20);
  const auto file = data::RecordFile::Open(&disk, "f", {.bytes = {.budget = budget}});
  if (!file.ok()) {
    Require(TroubleOf(file.status()) == Trouble::kData, "a bad file is an error of the data",
            file.status().ToString());
    return;
  }
  for (int64_t i = 0; i < (*file)->records(); ++i) {
    const auto record = (*file)->Record(i);
    if (!record.ok()) continue;
    // The sanitizers see a record that lies outside of the file.
    unsigned sum = 0;
    for (const unsigned char byte : record->bytes()) sum += byte;
    Require(sum <= 255 * record->size(), "bytes are bytes");
    NoteReached();
  }
}

}  // namespace

void ReadBothWays(const std::string& input) {
  Read(input);
  Read(WithRightLengths(input));
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lockstep::testing::ReadBothWays(std::string(lockstep::testing::FuzzText(data, size)));
  return 0;
}
