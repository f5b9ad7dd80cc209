// The parsers against TensorFlow's (scripts/golden/make_parse.py).
#include <fstream>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/core/aligned_buffer.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/sequence_parser.h"

namespace lockstep::data {
namespace {

using Values = std::optional<std::vector<double>>;

// The elements that are there, of an output "values" and, where they vary in number, a count of them.
template <typename Parser>
Values Parse(const Parser& parser, const std::string& record, const FeatureSpec& spec) {
  std::vector<AlignedBytes> buffers;
  std::vector<std::byte*> places;
  for (const InputSpec& output : parser.outputs()) {
    buffers.emplace_back(output.type.size_bytes());
    places.push_back(buffers.back().data());
  }
  if (!parser.Parse(record, places).ok()) return std::nullopt;
  int64_t count = spec.type.shape.NumElements();
  const auto number = [&](size_t output, int64_t i) {
    return reinterpret_cast<const int32_t*>(places[output])[i];
  };
  if (spec.variable) count = number(1, 0) * count / spec.type.shape[0];
  if (spec.ragged_rows > 0) count = number(2, number(1, 0));
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(spec.type.dtype == DType::kF32
                         ? double{reinterpret_cast<const float*>(places[0])[i]}
                         : static_cast<double>(reinterpret_cast<const int64_t*>(places[0])[i]));
  }
  return values;
}

TEST(GoldenParseTest, AgreesWithTensorFlow) {
  std::ifstream file(LOCKSTEP_SOURCE_DIR "/tests/testing/golden/parse_example.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  int compared = 0;
  for (const auto& item : golden["cases"]) {
    const std::string name = item["name"], kind = item["kind"], how = item["how"];
    const bool is_float = item["type"] == "F32", sequence = how == "sequence";
    // Here Lockstep casts, and TensorFlow objects.
    const bool float_list = name == "floats" || name == "no_floats";
    const bool other_kind = name == "text" || (name != "missing" && name != "none" && float_list != is_float);
    if (other_kind && item["values"].is_null()) continue;
    const int64_t count = item.value("count", 0);
    FeatureSpec spec = {.name = name, .type = {is_float ? DType::kF32 : DType::kI64, Shape{count}}};
    if (kind == "default") spec.fallback = {4};
    if (kind == "variable" || kind == "ragged") spec.type.shape = {100};
    spec.variable = kind == "variable" || kind == "steps";
    if (kind == "steps") spec.type.shape = {10, count};
    if (kind == "ragged") spec.ragged_rows = 10;
    const std::string record =
        absl::HexStringToBytes(golden["records"][item["record"].get<std::string>()].get<std::string>());
    const Values got = sequence ? Parse(*SequenceParser::Create({}, {spec}), record, spec)
                                : Parse(*ExampleParser::Create({spec}), record, spec);
    Values expected;
    if (!item["values"].is_null()) expected = item["values"].get<std::vector<double>>();
    EXPECT_EQ(got, expected) << item.dump();
    ++compared;
  }
  EXPECT_GT(compared, 120);
}

}  // namespace
}  // namespace lockstep::data
