#include "runtime/data/example_parser.h"

#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/check_example.h"
#include "tests/data/record_bytes.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Parses one feature into a vector of T.
template <typename T>
absl::StatusOr<std::vector<T>> ParseOne(const std::string& record, FeatureSpec spec) {
  spec.type.dtype = kDTypeOf<T>;
  std::vector<T> values(static_cast<size_t>(spec.type.shape.NumElements()), T(77));
  ASSIGN_OR_RETURN(const ExampleParser parser, ExampleParser::Create({spec}));
  std::byte* const outputs[] = {reinterpret_cast<std::byte*>(values.data())};
  RETURN_IF_ERROR(parser.Parse(record, outputs));
  return values;
}

template <typename T>
std::string ErrorOf(const std::string& record, const FeatureSpec& spec) {
  const auto values = ParseOne<T>(record, spec);
  if (values.ok()) return "";
  EXPECT_EQ(TroubleOf(values.status()), Trouble::kData);
  return std::string(values.status().message());
}

FeatureSpec Spec(const std::string& name, Shape shape) {
  return {.name = name, .type = {DType::kF32, shape}};
}

TEST(ExampleParserTest, CastsBytes) {
  const std::string record = ExampleMaker().Bytes("x", std::string("\x00\x01\xff", 3)).Serialize();
  EXPECT_THAT(*ParseOne<uint8_t>(record, Spec("x", {3})), ElementsAre(0, 1, 255));
  EXPECT_THAT(*ParseOne<int32_t>(record, Spec("x", {3})), ElementsAre(0, 1, 255));
  EXPECT_THAT(*ParseOne<float>(record, Spec("x", {3, 1})), ElementsAre(0, 1, 255));
  FeatureSpec scaled = Spec("x", {3});
  scaled.scale = 0.5f;
  scaled.offset = -1;
  EXPECT_THAT(*ParseOne<float>(record, scaled), ElementsAre(-1, -0.5f, 126.5f));
}

TEST(ExampleParserTest, CastsIntegers) {
  const std::string record = ExampleMaker().Ints("x", {-1, 5}).Serialize();
  EXPECT_THAT(*ParseOne<int32_t>(record, Spec("x", {2})), ElementsAre(-1, 5));
  EXPECT_THAT(*ParseOne<int64_t>(record, Spec("x", {2})), ElementsAre(-1, 5));
  FeatureSpec scaled = Spec("x", {2});
  scaled.scale = 2;
  scaled.offset = 1;
  EXPECT_THAT(*ParseOne<float>(record, scaled), ElementsAre(-1, 11));
}

TEST(ExampleParserTest, CastsFloats) {
  const std::string record = ExampleMaker().Floats("x", {-0.25f, 3e38f}).Serialize();
  EXPECT_THAT(*ParseOne<float>(record, Spec("x", {2})), ElementsAre(-0.25f, 3e38f));
  EXPECT_THAT(ErrorOf<int64_t>(record, Spec("x", {2})),
              HasSubstr("is a float_list, and cannot become I64[2]"));
}

TEST(ExampleParserTest, ScalarsHaveOneElement) {
  EXPECT_THAT(*ParseOne<int64_t>(ExampleMaker().Ints("x", {7}).Serialize(), Spec("x", {})), ElementsAre(7));
}

TEST(ExampleParserTest, WrongNameSuggestsTheNearest) {
  const std::string record = ExampleMaker().Bytes("image", "abc").Ints("label", {1}).Serialize();
  EXPECT_THAT(ErrorOf<float>(record, Spec("imgae", {3})),
              AllOf(HasSubstr("no feature 'imgae'"), HasSubstr("did you mean 'image'")));
  EXPECT_THAT(ErrorOf<float>(record, Spec("pixels", {3})), HasSubstr("image, label"));
}

TEST(ExampleParserTest, WrongCount) {
  const std::string record = ExampleMaker().Bytes("b", "abc").Ints("i", {1, 2}).Floats("f", {}).Serialize();
  EXPECT_EQ(ErrorOf<float>(record, Spec("b", {2, 2})), "feature 'b' has 3 bytes; wanted 4 (F32[2, 2])");
  EXPECT_EQ(ErrorOf<int64_t>(record, Spec("i", {1})), "feature 'i' has 2 integers; wanted 1 (I64[1])");
  EXPECT_EQ(ErrorOf<float>(record, Spec("f", {3})), "feature 'f' has 0 floats; wanted 3 (F32[3])");
}

TEST(ExampleParserTest, SeveralStrings) {
  const std::string record = ExampleMaker().Bytes("b", "ab").Bytes("b", "cd").Serialize();
  EXPECT_EQ(ErrorOf<uint8_t>(record, Spec("b", {2})),
            "feature 'b' holds 2 strings; wanted one of 2 bytes (U8[2])");
  EXPECT_FALSE(BytesFeature(record, "b").ok());
}

TEST(ExampleParserTest, LabelOutOfRange) {
  FeatureSpec spec = Spec("label", {});
  spec.classes = 10;
  for (int64_t label : {-1, 10, 1 << 20}) {
    const std::string record = ExampleMaker().Ints("label", {label}).Serialize();
    EXPECT_EQ(ErrorOf<int64_t>(record, spec), absl::StrCat("feature 'label' is ", label, ", not in [0, 10)"));
  }
  EXPECT_EQ(ErrorOf<int64_t>(ExampleMaker().Ints("label", {9}).Serialize(), spec), "");
}

TEST(ExampleParserTest, IntegerThatDoesNotFit) {
  const std::string record = ExampleMaker().Ints("x", {1, int64_t{1} << 31}).Serialize();
  EXPECT_EQ(ErrorOf<int32_t>(record, Spec("x", {2})),
            "feature 'x' is 2147483648 (element 1), which does not fit I32");
}

TEST(ExampleParserTest, FeatureWithoutList) {
  records::Example example;
  (*example.mutable_features()->mutable_feature())["x"];
  EXPECT_THAT(ErrorOf<float>(example.SerializeAsString(), Spec("x", {1})), HasSubstr("holds no list"));
}

TEST(ExampleParserTest, EmptyRecord) {
  EXPECT_EQ(ErrorOf<float>("", Spec("x", {1})), "there is no feature 'x'; the record has no features");
}

TEST(ExampleParserTest, NoExample) {
  EXPECT_THAT(ErrorOf<float>("In the beginning", Spec("x", {1})), HasSubstr("not a tf.train.Example"));
}

TEST(ExampleParserTest, UnpackedAndPiecewiseLists) {
  // Int64List { value: 3, value: 4 (each on its own), value: [5, 6] (packed) }, as field 3 of a Feature.
  const std::string list("\x08\x03\x08\x04\x0a\x02\x05\x06", 8);
  const std::string feature = std::string("\x1a\x08", 2) + list;
  const std::string entry = std::string("\x0a\x01x\x12\x0a", 5) + feature;
  const std::string features = std::string("\x0a\x0f", 2) + entry;
  const std::string record = std::string("\x0a\x11", 2) + features;
  records::Example example;
  ASSERT_TRUE(example.ParseFromString(record));
  EXPECT_THAT(*ParseOne<int64_t>(record, Spec("x", {4})), ElementsAre(3, 4, 5, 6));
}

TEST(ExampleParserTest, LastDuplicateWins) {
  const std::string record =
      ExampleMaker().Ints("x", {1, 2}).Serialize() + ExampleMaker().Ints("x", {3}).Serialize();
  EXPECT_THAT(*ParseOne<int64_t>(record, Spec("x", {1})), ElementsAre(3));
}

TEST(ExampleParserTest, SeveralFeaturesInAnyOrder) {
  const std::string record =
      ExampleMaker().Floats("c", {3}).Serialize() + ExampleMaker().Ints("a", {1}).Serialize() +
      ExampleMaker().Bytes("unwanted", "zz").Serialize() + ExampleMaker().Bytes("b", "\x02").Serialize();
  auto parser = ExampleParser::Create({{.name = "a", .type = {DType::kI32, {}}},
                                       {.name = "b", .type = {DType::kU8, {1}}},
                                       {.name = "c", .type = {DType::kF32, {1}}}});
  int32_t a = 0;
  uint8_t b = 0;
  float c = 0;
  std::byte* const outputs[] = {reinterpret_cast<std::byte*>(&a), reinterpret_cast<std::byte*>(&b),
                                reinterpret_cast<std::byte*>(&c)};
  ASSERT_TRUE(parser->Parse(record, outputs).ok());
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 2);
  EXPECT_EQ(c, 3);
}

TEST(ExampleParserTest, ImpossibleSpecsAreConfigErrors) {
  const auto create = [](FeatureSpec spec) { return ExampleParser::Create({spec, spec}).status(); };
  EXPECT_EQ(TroubleOf(create({.name = "x", .type = {DType::kF32, {}}})), Trouble::kConfig);  // given twice
  EXPECT_EQ(TroubleOf(ExampleParser::Create({{.name = "x", .type = {DType::kF64, {}}}}).status()),
            Trouble::kConfig);
  EXPECT_EQ(TroubleOf(ExampleParser::Create({{.name = "x", .type = {DType::kI32, {}}, .scale = 2}}).status()),
            Trouble::kConfig);
}

TEST(ExampleParserTest, GroupsNestedWithoutEndAreRefused) {
  const std::string record(1 << 20, '\x1b');  // "begin group 3", a million times
  EXPECT_THAT(ErrorOf<float>(record, Spec("x", {1})), HasSubstr("not a tf.train.Example"));
}

TEST(ExampleParserTest, BytesFeatureIsAView) {
  const std::string record = ExampleMaker().Bytes("text", "In the beginning").Serialize();
  auto text = BytesFeature(record, "text");
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "In the beginning");
  EXPECT_GE(text->data(), record.data());
  EXPECT_LE(text->data() + text->size(), record.data() + record.size());
}

// ---- Lengths that vary, defaults, raw elements

// All outputs of one feature as T and I32.
template <typename T>
struct Parsed {
  std::vector<T> elements;
  int32_t length = -1;
  std::vector<int32_t> offsets;
};
template <typename T>
absl::StatusOr<Parsed<T>> ParseVariable(const std::string& record, FeatureSpec spec) {
  spec.type.dtype = kDTypeOf<T>;
  Parsed<T> parsed;
  parsed.elements.resize(static_cast<size_t>(spec.type.shape.NumElements()), T(77));
  parsed.offsets.resize(static_cast<size_t>(spec.ragged_rows + 1), 77);
  ASSIGN_OR_RETURN(const ExampleParser parser, ExampleParser::Create({spec}));
  std::byte* const outputs[] = {reinterpret_cast<std::byte*>(parsed.elements.data()),
                                reinterpret_cast<std::byte*>(&parsed.length),
                                reinterpret_cast<std::byte*>(parsed.offsets.data())};
  RETURN_IF_ERROR(parser.Parse(record, absl::MakeSpan(outputs).first(parser.outputs().size())));
  return parsed;
}

FeatureSpec Variable(const std::string& name, Shape shape, double pad) {
  return {.name = name, .type = {DType::kF32, shape}, .variable = true, .pad = pad};
}

TEST(ExampleParserTest, VariableListsArePaddedAndCounted) {
  const std::string record = ExampleMaker().Ints("x", {1, 2}).Bytes("b", "ab").Serialize();
  const auto ints = ParseVariable<int64_t>(record, Variable("x", {4}, -1));
  ASSERT_TRUE(ints.ok()) << ints.status();
  EXPECT_THAT(ints->elements, ElementsAre(1, 2, -1, -1));
  EXPECT_EQ(ints->length, 2);
  const auto rows = ParseVariable<float>(record, Variable("x", {2, 2}, 0.5));
  EXPECT_THAT(rows->elements, ElementsAre(1, 2, 0.5, 0.5));
  EXPECT_EQ(rows->length, 1);
  EXPECT_THAT(ParseVariable<uint8_t>(record, Variable("b", {3}, 0))->elements, ElementsAre('a', 'b', 0));
  const auto none = ParseVariable<int32_t>(record, Variable("missing", {2}, 9));
  EXPECT_THAT(none->elements, ElementsAre(9, 9));
  EXPECT_EQ(none->length, 0);
}

TEST(ExampleParserTest, VariableListsHaveAMost) {
  const std::string record = ExampleMaker().Ints("x", {1, 2, 3}).Serialize();
  EXPECT_EQ(ParseVariable<int64_t>(record, Variable("x", {2}, 0)).status().message(),
            "feature 'x' has 3 integers; wanted at most 2 (I64[2])");
  EXPECT_EQ(ParseVariable<int64_t>(record, Variable("x", {2, 2}, 0)).status().message(),
            "feature 'x' has 3 elements, which are no whole rows of 2");
}

TEST(ExampleParserTest, RaggedRowsAreStrings) {
  const std::string record = ExampleMaker().Bytes("b", "abc").Bytes("b", "").Bytes("b", "d").Serialize();
  FeatureSpec spec = {.name = "b", .type = {DType::kU8, {6}}, .ragged_rows = 4, .pad = 1};
  const auto parsed = ParseVariable<uint8_t>(record, spec);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(parsed->elements, ElementsAre('a', 'b', 'c', 'd', 1, 1));
  EXPECT_EQ(parsed->length, 3);
  EXPECT_THAT(parsed->offsets, ElementsAre(0, 3, 3, 4, 4));
  spec.ragged_rows = 2;
  EXPECT_THAT(std::string(ParseVariable<uint8_t>(record, spec).status().message()),
              HasSubstr("more than the 2 rows"));
  spec = {.name = "b", .type = {DType::kU8, {3}}, .ragged_rows = 4};
  EXPECT_THAT(std::string(ParseVariable<uint8_t>(record, spec).status().message()),
              HasSubstr("more than the 3 elements there is room for (4 up to row 2)"));
}

TEST(ExampleParserTest, DefaultsStandForWhatIsMissing) {
  records::Example example;
  (*example.mutable_features()->mutable_feature())["empty"];
  const std::string record = example.SerializeAsString();
  for (const char* name : {"missing", "empty"}) {
    FeatureSpec spec = Spec(name, {2});
    spec.fallback = {3};
    EXPECT_THAT(*ParseOne<float>(record, spec), ElementsAre(3, 3));
    EXPECT_THAT(*ParseOne<uint8_t>(record, spec), ElementsAre(3, 3));
    spec.fallback = {3, -4};
    EXPECT_THAT(*ParseOne<int64_t>(record, spec), ElementsAre(3, -4));
  }
  // A list of nothing is there, as TensorFlow has it.
  FeatureSpec spec = Spec("f", {2});
  spec.fallback = {3};
  EXPECT_THAT(ErrorOf<float>(ExampleMaker().Floats("f", {}).Serialize(), spec), HasSubstr("has 0 floats"));
}

TEST(ExampleParserTest, RawElementsAreLittleEndian) {
  const std::string record =
      ExampleMaker().Bytes("x", std::string("\x01\x00\xff\xff\x00\x00\x80\x3f", 8)).Serialize();
  FeatureSpec spec = Spec("x", {2});
  spec.raw = DType::kF32;
  EXPECT_EQ((*ParseOne<float>(record, spec))[1], 1.0f);
  spec.raw = DType::kI32;
  EXPECT_THAT(*ParseOne<int64_t>(record, spec), ElementsAre(-65535, 0x3f800000));
  spec.raw = DType::kBF16;
  spec.type.shape = {4};
  EXPECT_EQ((*ParseOne<float>(record, spec))[3], 1.0f);
  spec.raw = DType::kI64;
  spec.type.shape = {1};
  EXPECT_THAT(*ParseOne<int64_t>(record, spec), ElementsAre(0x3f800000ffff0001));
  spec.raw = DType::kF64;
  EXPECT_THAT(ErrorOf<int64_t>(record, spec), HasSubstr("cannot be F64 elements that become I64[1]"));
  EXPECT_THAT(ErrorOf<float>(ExampleMaker().Bytes("x", "123").Serialize(), spec),
              HasSubstr("a string of 3 bytes"));
  EXPECT_THAT(ErrorOf<float>(ExampleMaker().Ints("x", {1}).Serialize(), spec),
              HasSubstr("it holds int64_list"));
}

TEST(ExampleParserTest, SixteenBitsAreRounded) {
  // Halves of the last place go to even; too large becomes infinity.
  const std::string record =
      ExampleMaker()
          .Floats("x", {1.00390625f, 1.01171875f, -65520.0f, 65519.0f, 3e-8f, 2.9e-8f, 0.1f})
          .Serialize();
  const auto bits_of = [&](DType dtype) {
    std::vector<uint16_t> bits(7);
    auto parser = ExampleParser::Create({{.name = "x", .type = {dtype, {7}}}});
    std::byte* const outputs[] = {reinterpret_cast<std::byte*>(bits.data())};
    EXPECT_TRUE(parser->Parse(record, outputs).ok());
    return bits;
  };
  EXPECT_THAT(bits_of(DType::kBF16), ElementsAre(0x3f80, 0x3f82, 0xc780, 0x4780, 0x3301, 0x32f9, 0x3dcd));
  EXPECT_THAT(bits_of(DType::kF16), ElementsAre(0x3c04, 0x3c0c, 0xfc00, 0x7bff, 0x0001, 0x0000, 0x2e66));
}

TEST(ExampleParserTest, WhatMeansNothingIsAConfigError) {
  const auto wrong = [](FeatureSpec spec) {
    return TroubleOf(ExampleParser::Create({spec}).status()) == Trouble::kConfig;
  };
  EXPECT_TRUE(wrong({.name = "x", .type = {DType::kF32, {}}, .variable = true}));
  EXPECT_TRUE(wrong({.name = "x", .type = {DType::kF32, {2}}, .variable = true, .fallback = {1}}));
  EXPECT_TRUE(wrong({.name = "x", .type = {DType::kF32, {2}}, .variable = true, .ragged_rows = 2}));
  EXPECT_TRUE(wrong({.name = "x", .type = {DType::kU8, {2, 2}}, .ragged_rows = 2}));
  EXPECT_TRUE(wrong({.name = "x", .type = {DType::kU8, {2}}, .fallback = {256}}));
  EXPECT_TRUE(wrong({.name = "x", .type = {DType::kI32, {2}}, .variable = true, .pad = 0.5}));
  EXPECT_TRUE(wrong({.name = "x", .type = {DType::kI32, {}}, .classes = 3, .fallback = {3}}));
  EXPECT_TRUE(wrong({.name = "x", .type = {DType::kI32, {3}}, .fallback = {1, 2}}));
}

// ---- Bytes that mean ill

std::string Framed(uint32_t number, const std::string& bytes) {
  std::string framed(1, static_cast<char>(number << 3 | 2));
  for (size_t size = bytes.size();; size >>= 7) {
    framed.push_back(static_cast<char>((size & 0x7f) | (size >= 0x80 ? 0x80 : 0)));
    if (size < 0x80) return framed + bytes;
  }
}
std::string ExampleOfList(const std::string& list) {
  const std::string feature = Framed(3, list);
  return Framed(1, Framed(1, Framed(1, "x") + Framed(2, feature)));
}

TEST(ExampleParserTest, AHundredLevelsAreRefusedAsProtobufDoes) {
  for (const int groups : {95, 96, 97, 100}) {
    const std::string list = "\x08\x07" + std::string(groups, '\x1b') + std::string(groups, '\x1c');
    const std::string record = ExampleOfList(list);
    records::Example example;
    EXPECT_EQ(CheckExample(record), example.ParseFromString(record)) << groups;
    EXPECT_EQ(CheckExample(record), groups <= 96);
    EXPECT_EQ(ErrorOf<int64_t>(record, Spec("x", {1})) == "", groups <= 96) << groups;
  }
}

TEST(ExampleParserTest, BillionDeclaredValuesAllocateNothing) {
  // A packed list that says it has 10^9 bytes, and has three.
  const std::string claim("\x0a\x80\x94\xeb\xdc\x03\x01\x02\x03", 9);
  EXPECT_THAT(ErrorOf<int64_t>(ExampleOfList(claim), Spec("x", {3})), HasSubstr("not a tf.train.Example"));
  // Really many are counted, not kept.
  const std::string many = ExampleOfList(Framed(1, std::string(1 << 20, '\x01')));
  EXPECT_EQ(ErrorOf<int64_t>(many, Spec("x", {3})), "feature 'x' has 1048576 integers; wanted 3 (I64[3])");
}

}  // namespace
}  // namespace lockstep::data
