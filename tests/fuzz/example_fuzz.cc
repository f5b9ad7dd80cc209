// Our parser of tf.train.Example against protobuf's: where protobuf accepts the bytes, both find the same values
// or both object.
#include <cstring>

#include "google/protobuf/stubs/logging.h"
#include "proto/example.pb.h"
#include "runtime/core/rng.h"
#include "runtime/data/example_parser.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep::testing {
namespace {

using data::ExampleParser;
using data::FeatureSpec;

struct Wanted {
  FeatureSpec spec;
  ExampleParser parser;
};

const std::vector<Wanted>& AllWanted() {
  static const std::vector<Wanted>* const all = [] {
    auto* wanted = new std::vector<Wanted>;
    for (FeatureSpec& spec : std::vector<FeatureSpec>{
             {.name = "i", .type = {DType::kI64, {3}}},
             {.name = "f", .type = {DType::kF32, {2}}},
             {.name = "b", .type = {DType::kU8, {4}}},
             {.name = "", .type = {DType::kI32, {1}}},
             {.name = "label", .type = {DType::kI32, {}}, .classes = 10},
         }) {
      wanted->push_back({spec, *ExampleParser::Create({spec})});
    }
    return wanted;
  }();
  return *all;
}

// What an element must be, cast as `spec` says; empty where it does not fit.
std::string Cast(const FeatureSpec& spec, int64_t value) {
  const auto bytes = [](auto cast) { return std::string(reinterpret_cast<const char*>(&cast), sizeof cast); };
  if (spec.classes > 0 && (value < 0 || value >= spec.classes)) return "";
  switch (spec.type.dtype) {
    case DType::kF32:
      return bytes(static_cast<float>(value));
    case DType::kI64:
      return bytes(value);
    case DType::kI32:
      return value == static_cast<int32_t>(value) ? bytes(static_cast<int32_t>(value)) : "";
    default:
      return value == static_cast<uint8_t>(value) ? bytes(static_cast<uint8_t>(value)) : "";
  }
}

template <typename Values>
std::string CastAll(const FeatureSpec& spec, const Values& values) {
  if (static_cast<int64_t>(values.size()) != spec.type.shape.NumElements()) return "";
  std::string out;
  for (const auto value : values) {
    const std::string cast = Cast(spec, value);
    if (cast.empty()) return "";
    out += cast;
  }
  return out;
}

// What `spec` must give according to protobuf's view of the record; empty where it must be refused.
std::string Expected(const records::Example& example, const FeatureSpec& spec) {
  const auto& features = example.features().feature();
  const auto at = features.find(spec.name);
  if (at == features.end()) return "";
  const records::Feature& feature = at->second;
  if (feature.has_int64_list()) return CastAll(spec, feature.int64_list().value());
  if (feature.has_bytes_list()) {
    if (feature.bytes_list().value_size() != 1) return "";
    const std::string& bytes = feature.bytes_list().value(0);
    return CastAll(spec, std::vector<unsigned char>(bytes.begin(), bytes.end()));
  }
  const auto& floats = feature.float_list().value();
  if (floats.size() != spec.type.shape.NumElements() || spec.type.dtype != DType::kF32) return "";
  return std::string(reinterpret_cast<const char*>(floats.data()), floats.size() * sizeof(float));
}

std::string Got(const std::string& record, const Wanted& wanted) {
  alignas(64) std::byte buffer[256];
  std::byte* const outputs[] = {buffer};
  if (!wanted.parser.Parse(record, outputs).ok()) return "";
  return std::string(reinterpret_cast<const char*>(buffer), wanted.spec.type.size_bytes());
}

// Number `number` of many messages that are well formed, with features that are sometimes as wanted.
std::string WellFormed(uint64_t number) {
  uint64_t state = Mix64(number + 1);
  const auto below = [&](uint64_t limit) { return (state = Mix64(state + 1)) % limit; };
  static const char* const kNames[] = {"i", "f", "b", "", "label", "other"};
  records::Example example;
  for (uint64_t n = below(6); n > 0; --n) {
    records::Feature& feature = (*example.mutable_features()->mutable_feature())[kNames[below(6)]];
    const uint64_t kind = below(3), count = below(5);
    if (kind == 0) feature.mutable_bytes_list()->add_value(std::string(count, static_cast<char>(below(256))));
    for (uint64_t i = 0; i < count && kind == 1; ++i) feature.mutable_float_list()->add_value(1.5f);
    for (uint64_t i = 0; i < count && kind == 2; ++i) {
      const int shift = static_cast<int>(below(64));
      feature.mutable_int64_list()->add_value(static_cast<int64_t>(Mix64(state + i)) >> shift);
    }
  }
  return example.SerializeAsString();
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (uint64_t i = 0; i < 400; ++i) seeds.push_back(WellFormed(i));
  return seeds;
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep::testing;
  const google::protobuf::LogSilencer silence;  // names that are no UTF-8
  const std::string record(FuzzText(data, size));
  lockstep::records::Example example;
  const bool parsed = example.ParseFromString(record);
  for (const Wanted& wanted : AllWanted()) {
    const std::string got = Got(record, wanted);  // safe on any bytes
    if (!parsed) continue;
    const std::string expected = Expected(example, wanted.spec);
    Require(got == expected, "our parser finds what protobuf finds: " + wanted.spec.name,
            got == expected ? "" : example.DebugString());
    if (!expected.empty()) NoteReached();
  }
  return 0;
}
