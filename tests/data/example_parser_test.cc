#include "runtime/data/example_parser.h"

#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
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

}  // namespace
}  // namespace lockstep::data
