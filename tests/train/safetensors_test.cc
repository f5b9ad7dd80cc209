#include "runtime/train/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "absl/strings/escaping.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;

// Written by safetensors (Python): {"ids": int64 [3, -1], "w": float32 [[1, 2, 3], [4, 5, 6]]}, {"who":
// "stock"}.
constexpr char kStockHex[] =
    "98000000000000007b225f5f6d657461646174615f5f223a7b2277686f223a2273746f636b227d2c22696473223a7b2264747970"
    "65223a2249"
    "3634222c227368617065223a5b325d2c22646174615f6f666673657473223a5b302c31365d7d2c2277223a7b226474797065223a"
    "224633322"
    "22c227368617065223a5b322c335d2c22646174615f6f666673657473223a5b31362c34305d7d7d2020202020202003000000000"
    "00000ffff"
    "ffffffffffff0000803f0000004000004040000080400000a0400000c040";
// {"mask": bool [True, False], "w": float32 [1.5]}
constexpr char kStockWithBoolHex[] =
    "70000000000000007b2277223a7b226474797065223a22463332222c227368617065223a5b315d2c22646174615f6f6666736574"
    "73223a5b"
    "302c345d7d2c226d61736b223a7b226474797065223a22424f4f4c222c227368617065223a5b325d2c22646174615f6f66667365"
    "7473223a"
    "5b342c365d7d7d200000c03f0100";

constexpr float kWeights[] = {1, 2, 3, 4, 5, 6};
constexpr int64_t kIds[] = {3, -1};

std::string Written(absl::Span<const NamedTensor> tensors, const SafetensorsMetadata& metadata,
                    SafetensorsDigest* digest = nullptr) {
  testing::MemoryFileSystem fs;
  auto file = fs.Create("f").value();
  const auto written = WriteSafetensors(file.get(), tensors, metadata);
  EXPECT_TRUE(written.ok()) << written.status();
  if (digest != nullptr) *digest = *written;
  return ReadWholeFile(&fs, "f").value();
}

std::string Sample() {
  return Written({{"w", DType::kF32, {2, 3}, kWeights},
                  {"ids", DType::kI64, {2}, kIds},
                  {"none", DType::kF32, {0, 4}, nullptr}},
                 {{"who", "us \"quoted\""}});
}

// A file with `json` as its header and `data_bytes` zero bytes of data.
std::string WithHeader(absl::string_view json, size_t data_bytes) {
  std::string bytes(8, '\0');
  const uint64_t length = json.size();
  std::memcpy(bytes.data(), &length, sizeof length);
  return absl::StrCat(bytes, json) + std::string(data_bytes, '\0');
}

std::string ErrorOf(absl::string_view json, size_t data_bytes) {
  const auto view = ParseSafetensors(WithHeader(json, data_bytes), "f");
  EXPECT_FALSE(view.ok()) << json;
  EXPECT_EQ(TroubleOf(view.status()), Trouble::kData);
  return std::string(view.status().message());
}

TEST(Safetensors, ReadsWhatItWrote) {
  const std::string bytes = Sample();
  const auto view = ParseSafetensors(bytes, "f");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->metadata.at("who"), "us \"quoted\"");
  EXPECT_EQ(view->header_bytes % 8, 0u);
  ASSERT_EQ(view->tensors.size(), 3u);
  EXPECT_EQ(view->tensors[0].name, "ids");  // eight-byte elements come first, so that all are aligned
  EXPECT_EQ(std::memcmp(view->tensors[0].data, kIds, sizeof kIds), 0);
  EXPECT_EQ(view->tensors[2].name, "w");
  EXPECT_EQ(view->tensors[2].shape, Shape({2, 3}));
  EXPECT_EQ(std::memcmp(view->tensors[2].data, kWeights, sizeof kWeights), 0);
}

TEST(Safetensors, ReadsStockFiles) {
  const std::string bytes = absl::HexStringToBytes(kStockHex);
  const auto view = ParseSafetensors(bytes, "f");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->metadata.at("who"), "stock");
  ASSERT_EQ(view->tensors.size(), 2u);
  EXPECT_EQ(std::memcmp(view->tensors[0].data, kIds, sizeof kIds), 0);
  EXPECT_EQ(std::memcmp(view->tensors[1].data, kWeights, sizeof kWeights), 0);
}

TEST(Safetensors, TypesThatLockstepLacksAreLeftOutByName) {
  const std::string bytes = absl::HexStringToBytes(kStockWithBoolHex);
  const auto view = ParseSafetensors(bytes, "f");
  ASSERT_TRUE(view.ok()) << view.status();
  ASSERT_EQ(view->tensors.size(), 1u);
  EXPECT_EQ(view->tensors[0].name, "w");
  ASSERT_EQ(view->unreadable.size(), 1u);
  EXPECT_EQ(view->unreadable[0].name, "mask");
  EXPECT_EQ(view->unreadable[0].dtype, "BOOL");
}

TEST(Safetensors, RefusesTwoTensorsOfOneName) {
  testing::MemoryFileSystem fs;
  auto file = fs.Create("f").value();
  const NamedTensor w{"w", DType::kF32, {6}, kWeights};
  EXPECT_THAT(std::string(WriteSafetensors(file.get(), {w, w}, {}).status().message()), HasSubstr("'w'"));
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const std::string bytes = Sample();
  for (size_t size = 0; size < bytes.size(); ++size) {
    // A copy of exactly that size, so that a sanitizer sees reading past its end.
    const std::string cut = bytes.substr(0, size);
    const auto view = ParseSafetensors(cut, "f");
    EXPECT_FALSE(view.ok()) << size;
  }
  EXPECT_FALSE(ParseSafetensors(bytes + "x", "f").ok());
}

TEST(Safetensors, NoByteFlipMakesItReadOutside) {
  const std::string bytes = Sample();
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int mask = 1; mask < 256; mask = mask * 2 + 1) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ mask);
      const auto view = ParseSafetensors(flipped, "f");
      if (!view.ok()) continue;
      for (const NamedTensor& tensor : view->tensors) {
        const char* data = static_cast<const char*>(tensor.data);
        EXPECT_GE(data, flipped.data());
        EXPECT_LE(data + tensor.size_bytes(), flipped.data() + flipped.size());
      }
    }
  }
}

TEST(Safetensors, RandomEditsOfTheHeaderNeverCrash) {
  std::mt19937 random(1);
  const std::string pieces[] = {"{",
                                "}",
                                "[",
                                "]",
                                ":",
                                ",",
                                "\"",
                                "0",
                                "-1",
                                "1e9",
                                "99999999999999999999",
                                "null",
                                "\\u0000",
                                "\"shape\"",
                                "\"dtype\"",
                                "\"data_offsets\"",
                                "\"F32\"",
                                "\"__metadata__\"",
                                "\xff",
                                "true"};
  const std::string bytes = Sample();
  for (int round = 0; round < 20000; ++round) {
    std::string json = bytes.substr(8, ParseSafetensors(bytes, "f")->header_bytes - 8);
    for (uint32_t edits = 1 + random() % 4; edits > 0; --edits) {
      const size_t at = random() % json.size();
      json.replace(at, random() % 8, pieces[random() % std::size(pieces)]);
    }
    (void)ParseSafetensors(WithHeader(json, 40), "f");
  }
}

TEST(Safetensors, AHeaderLongerThanTheFileIsRefusedWithoutMemory) {
  std::string bytes = Sample();
  for (const uint64_t claim : {uint64_t{1} << 40, ~uint64_t{0}, uint64_t{100'000'001}}) {
    std::memcpy(bytes.data(), &claim, sizeof claim);
    EXPECT_THAT(std::string(ParseSafetensors(bytes, "f").status().message()), HasSubstr("claims a header"));
  }
}

TEST(Safetensors, DeepNestingEndsTheParseAtOnce) {
  EXPECT_THAT(ErrorOf("{\"a\":" + std::string(1'000'000, '['), 0), HasSubstr("a list"));
  EXPECT_THAT(ErrorOf(std::string(1'000'000, '{'), 0), HasSubstr("f: not a valid safetensors file"));
}

TEST(Safetensors, OverlapIsRefused) {
  EXPECT_THAT(
      ErrorOf(
          R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
          8),
      HasSubstr("'b' begins at byte 4"));
}

TEST(Safetensors, AHoleIsRefused) {
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8),
              HasSubstr("nothing lies between"));
}

TEST(Safetensors, BytesBehindTheLastTensorAreRefused) {
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8),
              HasSubstr("end at byte 4"));
}

TEST(Safetensors, OffsetsOutsideTheFileAreRefused) {
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,400]}})", 4),
              HasSubstr("[0, 400]"));
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4), HasSubstr("[4, 0]"));
}

TEST(Safetensors, AShapeThatDoesNotFitItsBytesIsRefused) {
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}})", 4),
              HasSubstr("F32 [3] but has 4 bytes"));
  // 2^62 elements of four bytes are 2^64 bytes: zero, if the product were not checked.
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", 0),
              HasSubstr("'a'"));
  EXPECT_THAT(
      ErrorOf(
          R"({"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807],"data_offsets":[0,4]}})",
          4),
      HasSubstr("'a'"));
}

TEST(Safetensors, ANameThatOccursTwiceIsRefused) {
  EXPECT_THAT(
      ErrorOf(
          R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
          0),
      HasSubstr("'a' occurs twice"));
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"F32","dtype":"F32"}})", 0), HasSubstr("two fields 'dtype'"));
}

TEST(Safetensors, MissingUnknownAndMistypedFieldsAreNamed) {
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"F32","shape":[0]}})", 0), HasSubstr("'a' lacks"));
  EXPECT_THAT(ErrorOf(R"({"a":{"kind":"F32"}})", 0), HasSubstr("unknown field 'kind'"));
  EXPECT_THAT(ErrorOf(R"({"a":{"shape":[-1]}})", 0), HasSubstr("a negative number"));
  EXPECT_THAT(ErrorOf(R"({"a":{"shape":[1.5]}})", 0), HasSubstr("a fraction"));
  EXPECT_THAT(ErrorOf(R"({"__metadata__":{"step":1}})", 0), HasSubstr("metadata 'step' is a number"));
  EXPECT_THAT(ErrorOf("[]", 0), HasSubstr("begin with '{'"));
}

TEST(Safetensors, DigestCoversEveryByte) {
  SafetensorsDigest digest;
  const std::string bytes = Written({{"w", DType::kF32, {2, 3}, kWeights}}, {}, &digest);
  EXPECT_EQ(digest.size_bytes, bytes.size());
  ASSERT_EQ(digest.crc32c.size(), 1u);
}

TEST(SafetensorsFile, MappedAndReadAreTheSame) {
  testing::MemoryFileSystem fs;
  ASSERT_TRUE(fs.Create("f").value()->Append(Sample()).ok());
  for (const auto access : {SafetensorsFile::Access::kMapped, SafetensorsFile::Access::kRead}) {
    auto opened = SafetensorsFile::Open(&fs, "f", access);
    ASSERT_TRUE(opened.ok()) << opened.status();
    const SafetensorsFile file = *std::move(opened);  // moved: the views stay valid
    ASSERT_NE(file.Find("w"), nullptr);
    EXPECT_EQ(std::memcmp(file.Find("w")->data, kWeights, sizeof kWeights), 0);
    EXPECT_EQ(file.Find("x"), nullptr);
  }
}

}  // namespace
}  // namespace lockstep::train
