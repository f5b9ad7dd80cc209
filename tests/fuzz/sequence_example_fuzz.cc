// Our parser of tf.train.SequenceExample against protobuf's: both accept the same bytes, and of those both
// find the same values or both object.
#include "google/protobuf/stubs/logging.h"
#include "proto/example.pb.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/data/check_example.h"
#include "runtime/data/sequence_parser.h"
#include "tests/data/reference_parser.h"
#include "tests/data/wire_maker.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep::testing {
namespace {

using data::FeatureSpec;
using data::Outputs;
using data::SequenceParser;

struct Wanted {
  FeatureSpec spec;
  bool list;  // or of the context
  SequenceParser parser;
};

// Each is parsed on its own, so that one that objects does not hide the others.
const std::vector<Wanted>& AllWanted() {
  static const std::vector<Wanted>* const all = [] {
    auto* wanted = new std::vector<Wanted>;
    for (const FeatureSpec& spec : std::vector<FeatureSpec>{
             {.name = "i", .type = {DType::kI64, {3}}, .variable = true},
             {.name = "i", .type = {DType::kU8, {4}}, .variable = true, .pad = 7},
             {.name = "i", .type = {DType::kU32, {12}}, .ragged_rows = 3},
             {.name = "f", .type = {DType::kF32, {5, 1}}, .variable = true, .pad = -2.5},
             {.name = "f", .type = {DType::kF32, {12}}, .ragged_rows = 4},
             {.name = "b", .type = {DType::kU8, {20}}, .ragged_rows = 4, .pad = 9},
             {.name = "b", .type = {DType::kF32, {2}}, .variable = true, .raw = DType::kF32},
             {.name = "", .type = {DType::kI32, {1}}},
             {.name = "label", .type = {DType::kI32, {1}}, .classes = 10, .fallback = {9}},
         }) {
      wanted->push_back({spec, true, *SequenceParser::Create({}, {spec})});
      if (spec.ragged_rows == 0) wanted->push_back({spec, false, *SequenceParser::Create({spec}, {})});
    }
    return wanted;
  }();
  return *all;
}

Outputs Parse(const SequenceParser& parser, const std::string& record) {
  std::vector<AlignedBytes> buffers;
  std::vector<std::byte*> places;
  for (const data::InputSpec& output : parser.outputs()) {
    buffers.emplace_back(output.type.size_bytes());
    places.push_back(buffers.back().data());
  }
  if (!parser.Parse(record, places).ok()) return std::nullopt;
  std::vector<std::string> outputs;
  for (const AlignedBytes& buffer : buffers)
    outputs.emplace_back(reinterpret_cast<const char*>(buffer.data()), buffer.size_bytes());
  return outputs;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (uint64_t i = 0; i < 400; ++i) {
    data::WireMaker maker(i, {"i", "i", "f", "f", "b", "b", "", "label", "other"}, i % 2 == 0 ? 0 : 10);
    seeds.push_back(maker.SequenceExample());
  }
  return seeds;
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep::testing;
  const google::protobuf::LogSilencer silence;  // names that are no UTF-8
  const std::string record(FuzzText(data, size));
  lockstep::records::SequenceExample example;
  const bool parsed = example.ParseFromString(record);
  Require(lockstep::data::CheckSequenceExample(record) == parsed, "our check accepts what protobuf accepts");
  for (const Wanted& wanted : AllWanted()) {
    const lockstep::data::Outputs got = Parse(wanted.parser, record);  // safe on any bytes
    if (!parsed) continue;
    const lockstep::data::Outputs expected =
        wanted.list ? lockstep::data::ReferenceLists(example.feature_lists(), {wanted.spec})
                    : lockstep::data::ReferenceFeatures(example.context(), {wanted.spec});
    Require(got == expected, "our parser finds what protobuf finds: " + wanted.spec.name,
            got == expected ? "" : example.DebugString());
    if (got) NoteReached();
  }
  return 0;
}
