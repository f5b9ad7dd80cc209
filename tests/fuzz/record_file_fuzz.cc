// Record files of any bytes, plain and compressed: an error or records, in bounded memory.
#include "runtime/data/record_file.h"

#include "tests/fuzz/record_samples.h"

namespace lockstep::testing {

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (int i = 0; i < data::kCompressions; ++i)
    seeds.push_back(SampleRecordFile(static_cast<data::Compression>(i)));
  return seeds;
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace lockstep;
  testing::MemoryFileSystem disk;
  testing::Require(WriteFileAtomically(&disk, "f", testing::FuzzText(bytes, size)).ok(), "the disk takes it");
  const auto budget = std::make_shared<data::MemoryBudget>(size_t{8} << 20);
  const auto file = data::RecordFile::Open(&disk, "f", {.bytes = {.budget = budget}});
  if (!file.ok()) {
    const std::string error = file.status().ToString();
    testing::Require(TroubleOf(file.status()) == Trouble::kData, "a bad file is an error of the data", error);
    return 0;
  }
  for (int64_t i = 0; i < (*file)->records(); ++i) {
    const auto record = (*file)->Record(i);
    if (!record.ok()) continue;
    // The sanitizers see a record that lies outside of the file.
    unsigned sum = 0;
    for (const unsigned char byte : std::string_view(record->data(), record->size())) sum += byte;
    testing::Require(sum <= 255 * record->size(), "bytes are bytes");
    testing::NoteReached();
  }
  return 0;
}
