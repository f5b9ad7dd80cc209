#include "runtime/data/sequence_parser.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/example.pb.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

records::Feature Ints(const std::vector<int64_t>& values) {
  records::Feature feature;
  feature.mutable_int64_list()->mutable_value()->Assign(values.begin(), values.end());
  return feature;
}

// Two words of a sentence, with letters of different number.
records::SequenceExample Sentence() {
  records::SequenceExample example;
  (*example.mutable_context()->mutable_feature())["id"] = Ints({7});
  auto& lists = *example.mutable_feature_lists()->mutable_feature_list();
  *lists["tags"].add_feature() = Ints({1, 2});
  *lists["tags"].add_feature() = Ints({3, 4});
  *lists["letters"].add_feature() = Ints({10});
  *lists["letters"].add_feature() = Ints({});
  *lists["letters"].add_feature() = Ints({11, 12});
  return example;
}

// All outputs as int32, one behind the other.
absl::StatusOr<std::vector<std::vector<int32_t>>> Parse(const records::SequenceExample& example,
                                                        std::vector<FeatureSpec> context,
                                                        std::vector<FeatureSpec> lists) {
  ASSIGN_OR_RETURN(const SequenceParser parser, SequenceParser::Create(std::move(context), std::move(lists)));
  std::vector<std::vector<int32_t>> outputs;
  for (const InputSpec& output : parser.outputs())
    outputs.emplace_back(static_cast<size_t>(output.type.shape.NumElements()), 77);
  std::vector<std::byte*> places;
  for (auto& output : outputs) places.push_back(reinterpret_cast<std::byte*>(output.data()));
  RETURN_IF_ERROR(parser.Parse(example.SerializeAsString(), places));
  return outputs;
}

std::string ErrorOf(const records::SequenceExample& example, FeatureSpec list) {
  const absl::Status status = Parse(example, {}, {std::move(list)}).status();
  return std::string(status.message());
}

const TensorType kScalar = {DType::kI32, {}};

TEST(SequenceParserTest, ContextAndLists) {
  const auto outputs = Parse(Sentence(), {{.name = "id", .type = kScalar}},
                             {{.name = "tags", .type = {DType::kI32, {2, 2}}},
                              {.name = "tags2", .type = {DType::kI32, {1, 2}}, .fallback = {5}},
                              {.name = "letters", .type = {DType::kI32, {5}}, .ragged_rows = 4, .pad = -1}});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(*outputs,
              ElementsAre(ElementsAre(7), ElementsAre(1, 2, 3, 4), ElementsAre(5, 5),
                          ElementsAre(10, 11, 12, -1, -1), ElementsAre(3), ElementsAre(0, 1, 1, 3, 3)));
}

TEST(SequenceParserTest, StepsArePaddedAndCounted) {
  const FeatureSpec tags = {.name = "tags", .type = {DType::kI32, {3, 2}}, .variable = true, .pad = -1};
  const auto outputs = Parse(Sentence(), {}, {tags});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(*outputs, ElementsAre(ElementsAre(1, 2, 3, 4, -1, -1), ElementsAre(2)));
  const auto none = Parse(records::SequenceExample(), {}, {tags});
  EXPECT_THAT((*none)[1], ElementsAre(0)) << "a list that is not there has no steps";
}

TEST(SequenceParserTest, ErrorsNameListAndStep) {
  const auto of = [](const std::string& name, Shape shape) {
    return FeatureSpec{.name = name, .type = {DType::kI32, shape}};
  };
  EXPECT_EQ(ErrorOf(Sentence(), of("tags", {3, 2})), "feature 'tags' has 2 steps; wanted 3 (I32[3, 2])");
  EXPECT_EQ(ErrorOf(Sentence(), of("tags", {1, 2})),
            "feature 'tags' has more than 1 steps; wanted 1 (I32[1, 2])");
  EXPECT_EQ(ErrorOf(Sentence(), of("letters", {3})),
            "step 1: feature 'letters' has 0 integers; wanted 1 (I32[])");
  EXPECT_THAT(ErrorOf(Sentence(), of("tagz", {1})), HasSubstr("no feature list 'tagz'; did you mean 'tags'"));
  EXPECT_THAT(ErrorOf(Sentence(), of("tags", {})), HasSubstr("must begin with the number of steps"));
  FeatureSpec ragged = of("letters", {2});
  ragged.ragged_rows = 3;
  EXPECT_THAT(ErrorOf(Sentence(), ragged),
              HasSubstr("more than the 2 elements there is room for (3 up to row 2)"));
}

TEST(SequenceParserTest, LastDuplicateWins) {
  auto first = Sentence();
  const std::string twice = first.SerializeAsString() + [] {
    records::SequenceExample second;
    *(*second.mutable_feature_lists()->mutable_feature_list())["tags"].add_feature() = Ints({9});
    return second.SerializeAsString();
  }();
  records::SequenceExample both;
  ASSERT_TRUE(both.ParseFromString(twice));
  const auto parser = SequenceParser::Create({}, {{.name = "tags", .type = {DType::kI32, {1}}}});
  int32_t tag = 0;
  std::byte* const outputs[] = {reinterpret_cast<std::byte*>(&tag)};
  ASSERT_TRUE(parser->Parse(twice, outputs).ok());
  EXPECT_EQ(tag, 9);
}

TEST(SequenceParserTest, OtherBytesAreRefused) {
  const auto parser = SequenceParser::Create({}, {{.name = "tags", .type = {DType::kI32, {1}}}});
  int32_t tag = 0;
  std::byte* const outputs[] = {reinterpret_cast<std::byte*>(&tag)};
  EXPECT_THAT(std::string(parser->Parse("In the beginning", outputs).message()),
              HasSubstr("not a tf.train.SequenceExample"));
}

}  // namespace
}  // namespace lockstep::data
