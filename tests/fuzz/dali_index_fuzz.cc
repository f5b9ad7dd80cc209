// DALI's text indexes of any bytes, for a file that they may or may not belong to.
#include "runtime/data/dali_index.h"

#include "tests/fuzz/record_samples.h"

namespace lockstep::testing {
namespace {

const std::string& File() {
  static const std::string file = SampleRecordFile(data::Compression::kNone);
  return file;
}

}  // namespace

std::vector<std::string> FuzzSeeds() { return {EncodeDaliIndex(*data::RecordIndex::Build("f", File()))}; }

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  const std::string& file = testing::File();
  const auto index = data::DecodeDaliIndex("f.idx", testing::FuzzText(data, size), "f", file);
  if (!index.ok()) return 0;
  testing::Require(index->Fits(file, index->records()), "an index that was accepted fits the file");
  testing::NoteReached();
  return 0;
}
