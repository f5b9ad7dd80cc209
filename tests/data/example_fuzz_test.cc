// Our parser against protobuf's on damaged records: where protobuf accepts the bytes, both must find the same
// values or both must object. LOCKSTEP_FUZZ_SECONDS says for how long (default 1).
#include <cstdlib>
#include <cstring>
#include <random>

#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "runtime/core/clock.h"
#include "runtime/data/example_parser.h"
#include "tests/data/record_bytes.h"

namespace lockstep::data {
namespace {

double FuzzSeconds() {
  const char* text = std::getenv("LOCKSTEP_FUZZ_SECONDS");
  return text != nullptr ? std::atof(text) : 1;
}

const std::vector<FeatureSpec>& Wanted() {
  static const std::vector<FeatureSpec> wanted = {
      {.name = "i", .type = {DType::kI64, {3}}},
      {.name = "f", .type = {DType::kF32, {2}}},
      {.name = "b", .type = {DType::kU8, {4}}},
      {.name = "", .type = {DType::kI32, {1}}},
      {.name = "label", .type = {DType::kI32, {}}, .classes = 10},
  };
  return wanted;
}

// What `spec` must give according to protobuf's view of the record; empty where it must be refused.
std::string Expected(const records::Example& example, const FeatureSpec& spec) {
  const auto& features = example.features().feature();
  const auto at = features.find(spec.name);
  if (at == features.end()) return "";
  const size_t count = static_cast<size_t>(spec.type.shape.NumElements());
  std::string out;
  const auto add = [&](auto value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); };
  const auto add_integer = [&](int64_t value) {
    if (spec.classes > 0 && (value < 0 || value >= spec.classes)) return false;
    if (spec.type.dtype == DType::kF32) add(static_cast<float>(value));
    if (spec.type.dtype == DType::kI64) add(value);
    if (spec.type.dtype == DType::kI32) add(static_cast<int32_t>(value));
    if (spec.type.dtype == DType::kU8) add(static_cast<uint8_t>(value));
    return !(spec.type.dtype == DType::kI32 && value != static_cast<int32_t>(value)) &&
           !(spec.type.dtype == DType::kU8 && value != static_cast<uint8_t>(value));
  };
  const records::Feature& feature = at->second;
  if (feature.has_bytes_list()) {
    if (feature.bytes_list().value_size() != 1 || feature.bytes_list().value(0).size() != count) return "";
    for (unsigned char c : feature.bytes_list().value(0)) {
      if (!add_integer(c)) return "";
    }
  } else if (feature.has_int64_list()) {
    if (feature.int64_list().value_size() != static_cast<int>(count)) return "";
    for (int64_t value : feature.int64_list().value()) {
      if (!add_integer(value)) return "";
    }
  } else if (feature.has_float_list()) {
    if (feature.float_list().value_size() != static_cast<int>(count) || spec.type.dtype != DType::kF32)
      return "";
    for (float value : feature.float_list().value()) add(value);
  }
  return out;
}

std::string Got(const std::string& record, const FeatureSpec& spec) {
  alignas(64) std::byte buffer[256];
  std::byte* const outputs[] = {buffer};
  const auto parser = ExampleParser::Create({spec});
  if (!parser->Parse(record, outputs).ok()) return "";
  return std::string(reinterpret_cast<const char*>(buffer), spec.type.size_bytes());
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}
  size_t Below(size_t n) { return n == 0 ? 0 : random_() % n; }

  // Messages that are well formed, with features that are sometimes as wanted.
  std::string Seed() {
    ExampleMaker maker;
    static const char* const kNames[] = {"i", "f", "b", "", "label", "other"};
    for (size_t n = Below(6); n > 0; --n) {
      const std::string name = kNames[Below(6)];
      const size_t count = Below(5);
      switch (Below(3)) {
        case 0:
          maker.Bytes(name, std::string(count, static_cast<char>(Below(256))));
          break;
        case 1:
          maker.Floats(name, std::vector<float>(count, 1.5f));
          break;
        default:
          maker.Ints(name, std::vector<int64_t>(count, static_cast<int64_t>(random_()) >> Below(64)));
      }
    }
    return maker.Serialize();
  }

  void Mutate(std::string* bytes) {
    for (size_t n = 1 + Below(4); n > 0; --n) {
      const size_t at = Below(bytes->size() + 1), size = Below(8);
      switch (Below(6)) {
        case 0:
          bytes->insert(at, 1, static_cast<char>(Below(256)));
          break;
        case 1:
          bytes->erase(at, size);
          break;
        case 2:
          if (at < bytes->size()) (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << Below(8)));
          break;
        case 3:
          if (at < bytes->size()) (*bytes)[at] = static_cast<char>(Below(256));
          break;
        case 4:
          bytes->insert(Below(bytes->size() + 1), bytes->substr(at, size));
          break;
        default:
          *bytes += Seed();
      }
    }
  }

 private:
  std::mt19937_64 random_;
};

TEST(ExampleFuzzTest, AgreesWithProtobuf) {
  const google::protobuf::LogSilencer silence;  // names that are no UTF-8
  const double end = MonotonicSeconds() + FuzzSeconds();
  Mutator mutator(20260101);
  int64_t accepted = 0, values = 0, tried = 0;
  while (MonotonicSeconds() < end || tried < 20000) {
    std::string record = mutator.Seed();
    if (tried++ % 4 != 0) mutator.Mutate(&record);
    records::Example example;
    const bool parsed = example.ParseFromString(record);
    accepted += parsed;
    for (const FeatureSpec& spec : Wanted()) {
      const std::string got = Got(record, spec);  // must be safe on any bytes
      if (!parsed) continue;
      const std::string expected = Expected(example, spec);
      ASSERT_EQ(got, expected) << spec.name << " of\n" << example.DebugString();
      values += !expected.empty();
    }
  }
  EXPECT_GT(accepted, tried / 4);  // else nothing was compared
  EXPECT_GT(values, 1000);
}

}  // namespace
}  // namespace lockstep::data
