// Indexes of any bytes: an error, or one that lies inside of the file that it claims and stays what it is.
#include "runtime/data/record_index.h"

#include <cstring>

#include "tests/fuzz/record_samples.h"

namespace lockstep::testing {

std::vector<std::string> FuzzSeeds() {
  data::RecordIndexBuilder mixed;
  for (uint64_t i = 0; i < 200; ++i) mixed.Add(i * i, static_cast<uint32_t>(i));
  return {data::RecordIndex::Build("f", SampleRecordFile(data::Compression::kNone))->Encode(),
          mixed.Finish().Encode()};
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using lockstep::data::RecordIndex;
  using lockstep::testing::Require;
  std::string input(lockstep::testing::FuzzText(data, size));
  (void)RecordIndex::Decode("i", input);
  // With a right checksum, so that what lies behind it is reached.
  if (input.size() < 4) return 0;
  const uint32_t crc = lockstep::data::MaskedCrcOf(input.data(), input.size() - 4);
  std::memcpy(input.data() + input.size() - 4, &crc, 4);
  const auto index = RecordIndex::Decode("i", input);
  if (!index.ok()) return 0;
  for (int64_t i = 0; i < index->records(); ++i) {
    Require(index->OffsetOf(i) + index->LengthOf(i) <= index->size_bytes(), "records lie inside of the file");
  }
  static const std::string file = lockstep::testing::SampleRecordFile(lockstep::data::Compression::kNone);
  (void)index->Fits(file, index->records());
  const auto again = RecordIndex::Decode("i", index->Encode());
  Require(again.ok() && *again == *index, "an index that was read and written stays the same");
  lockstep::testing::NoteReached();
  return 0;
}
