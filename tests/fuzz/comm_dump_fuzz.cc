// Dumps of the flight recorder from anywhere: refused, or read, written again and explained.
#include <string>
#include <vector>

#include "comm/dump.h"
#include "comm/explain.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep::testing {
namespace {

comm::Dump Sample() {
  comm::Dump dump;
  dump.rank = 1;
  dump.size = 3;
  dump.backend = "tcp";
  dump.world = "0123456789abcdef";
  dump.failure = "rank 0 reports: it's late";
  for (int i = 0; i < 6; ++i) {
    comm::CallRecord record;
    record.descriptor.kind = static_cast<uint8_t>(2 * i);
    record.descriptor.sequence = i;
    record.descriptor.count = 100;
    record.state = i < 4    ? comm::CallState::kDone
                   : i == 4 ? comm::CallState::kRunning
                            : comm::CallState::kQueued;
    record.issued = record.started = 1000 + i;
    record.ended = i < 4 ? 2000 + i : 0;
    dump.records.push_back(record);
  }
  dump.calls = dump.collectives = 6;
  return dump;
}

}  // namespace

std::vector<std::string> FuzzSeeds() { return {SerializeDump(Sample()), "{\"lockstep_comm_dump\":1}\n"}; }

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  using testing::Require;
  const auto dump = comm::ParseDump(std::string(testing::FuzzText(data, size)), "input");
  if (!dump.ok()) {
    const std::string error = dump.status().ToString();
    Require(TroubleOf(dump.status()) == Trouble::kData, "a bad dump is an error of the data", error);
    Require(error.find("input") != std::string::npos, "the error names the file", error);
    return 0;
  }
  const std::string text = SerializeDump(*dump);
  const auto again = comm::ParseDump(text, "again");
  Require(again.ok(), "a dump that was read can be written and read", again.status().ToString());
  Require(SerializeDump(*again) == text, "a dump that was read and written stays the same", text);

  comm::Dump other = testing::Sample();
  other.rank = 0;
  comm::ExplainDumps(std::vector<comm::NamedDump>{{"input", *dump}, {"sample", other}})
      .status()
      .IgnoreError();
  const auto alone = comm::ExplainDumps(std::vector<comm::NamedDump>{{"input", *dump}});
  Require(alone.ok(), "one dump alone can be explained", alone.status().ToString());
  testing::NoteReached();
  return 0;
}
