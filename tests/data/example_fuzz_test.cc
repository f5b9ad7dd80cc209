// Our parsers against protobuf on random and damaged records: CheckExample accepts what protobuf accepts and
// nothing else, and where protobuf accepts the bytes, both find the same values or both object. The same
// records every time; LOCKSTEP_FUZZ_SECONDS asks for more of them.
#include <cstdlib>
#include <cstring>

#include "absl/strings/escaping.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/clock.h"
#include "runtime/data/check_example.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/sequence_parser.h"
#include "tests/data/reference_parser.h"
#include "tests/data/wire_maker.h"

namespace lockstep::data {
namespace {

constexpr int kRecords = 10000;  // that every run looks at

double FuzzSeconds() {
  const char* text = std::getenv("LOCKSTEP_FUZZ_SECONDS");
  return text != nullptr ? std::atof(text) : 0;
}

using Specs = std::vector<FeatureSpec>;

// Each is parsed on its own, so that one that objects does not hide the others. All but the last few are for
// lists too.
std::vector<FeatureSpec> Wanted() {
  return {
      {.name = "i", .type = {DType::kI64, {3}}},
      {.name = "i", .type = {DType::kF32, {2}}, .scale = 0.5f, .offset = 3},
      {.name = "i", .type = {DType::kU8, {4}}, .variable = true, .pad = 7},
      {.name = "i", .type = {DType::kI8, {4}}, .variable = true},
      {.name = "i", .type = {DType::kI32, {2, 2}}, .variable = true, .pad = -1},
      {.name = "f", .type = {DType::kF32, {2}}},
      {.name = "f", .type = {DType::kF32, {5, 1}}, .variable = true, .pad = -2.5},
      {.name = "f", .type = {DType::kF32, {3}}, .fallback = {1.25}},
      {.name = "b", .type = {DType::kU8, {4}}},
      {.name = "b", .type = {DType::kF32, {9}}, .variable = true},
      {.name = "b", .type = {DType::kI32, {2}}, .variable = true, .raw = DType::kI32},
      {.name = "b", .type = {DType::kF32, {2}}, .variable = true, .raw = DType::kF32},
      {.name = "b", .type = {DType::kU8, {20}}, .ragged_rows = 4, .pad = 9},
      {.name = "f", .type = {DType::kF32, {12}}, .ragged_rows = 4},
      {.name = "i", .type = {DType::kU32, {12}}, .ragged_rows = 3},
      {.name = "", .type = {DType::kI32, {1}}},
      {.name = "label", .type = {DType::kI32, {1}}, .classes = 10},
      {.name = "label", .type = {DType::kI64, {1}}, .classes = 10, .fallback = {9}},
  };
}

const std::vector<std::string>& Names() {
  static const std::vector<std::string> names = {"i", "i", "f", "f", "b", "b", "", "label", "other"};
  return names;
}

template <typename Parser>
Outputs Parse(const Parser& parser, const std::string& record) {
  std::vector<AlignedBytes> buffers;
  std::vector<std::byte*> places;
  for (const InputSpec& output : parser.outputs()) {
    buffers.emplace_back(output.type.size_bytes());
    places.push_back(buffers.back().data());
  }
  if (!parser.Parse(record, places).ok()) return std::nullopt;
  std::vector<std::string> outputs;
  for (const AlignedBytes& buffer : buffers) {
    outputs.emplace_back(reinterpret_cast<const char*>(buffer.data()), buffer.size_bytes());
  }
  return outputs;
}

struct Tally {
  int64_t records = 0, accepted = 0, values = 0;
  ~Tally() {
    EXPECT_GT(accepted, records / 5);  // else little was compared
    EXPECT_LT(accepted, records);
    EXPECT_GT(values, records / 2);
  }
};

// Records whole, with quirks, and damaged.
template <typename Make, typename Check>
void ForEachRecord(const Make& make, const Check& check) {
  const google::protobuf::LogSilencer silence;  // names that are no UTF-8
  const double end = MonotonicSeconds() + FuzzSeconds();
  for (uint64_t seed = 0; seed < kRecords || MonotonicSeconds() < end; ++seed) {
    static constexpr int kQuirks[] = {0, 5, 20, 60};
    WireMaker maker(seed, Names(), kQuirks[seed % 4]);
    std::string record = make(maker);
    if (seed % 3 == 0) maker.Damage(&record);
    check(record);
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << "seed " << seed << ": " << absl::CHexEscape(record);
      return;
    }
  }
}

TEST(ExampleFuzzTest, ExamplesAgreeWithProtobuf) {
  std::vector<std::pair<Specs, ExampleParser>> parsers;
  for (const FeatureSpec& spec : Wanted()) parsers.emplace_back(Specs{spec}, *ExampleParser::Create({spec}));
  const Specs several = {Wanted()[9], Wanted()[6], Wanted()[17]};
  parsers.emplace_back(several, *ExampleParser::Create(several));
  Tally tally;
  ForEachRecord([](WireMaker& maker) { return maker.Example(); },
                [&](const std::string& record) {
                  records::Example example;
                  const bool parsed = example.ParseFromString(record);
                  ++tally.records;
                  tally.accepted += parsed;
                  EXPECT_EQ(CheckExample(record), parsed);
                  for (const auto& [specs, parser] : parsers) {
                    const Outputs got = Parse(parser, record);  // must be safe on any bytes
                    if (!parsed) continue;
                    EXPECT_EQ(got, ReferenceFeatures(example.features(), specs))
                        << specs[0].name << " " << specs[0].type.ToString() << "\n"
                        << example.DebugString();
                    tally.values += got.has_value();
                  }
                });
}

TEST(ExampleFuzzTest, SequenceExamplesAgreeWithProtobuf) {
  std::vector<std::pair<FeatureSpec, SequenceParser>> parsers;
  for (const FeatureSpec& spec : Wanted()) parsers.emplace_back(spec, *SequenceParser::Create({}, {spec}));
  const FeatureSpec context = {.name = "i", .type = {DType::kI64, {5}}, .variable = true};
  const auto of_context = SequenceParser::Create({context}, {});
  Tally tally;
  ForEachRecord([](WireMaker& maker) { return maker.SequenceExample(); },
                [&](const std::string& record) {
                  records::SequenceExample example;
                  const bool parsed = example.ParseFromString(record);
                  ++tally.records;
                  tally.accepted += parsed;
                  EXPECT_EQ(CheckSequenceExample(record), parsed);
                  for (const auto& [spec, parser] : parsers) {
                    const Outputs got = Parse(parser, record);
                    if (!parsed) continue;
                    EXPECT_EQ(got, ReferenceLists(example.feature_lists(), {spec}))
                        << spec.name << " " << spec.type.ToString() << "\n"
                        << example.DebugString();
                    tally.values += got.has_value();
                  }
                  const Outputs got = Parse(*of_context, record);
                  if (parsed) {
                    EXPECT_EQ(got, ReferenceFeatures(example.context(), {context}));
                  }
                });
}

}  // namespace
}  // namespace lockstep::data
