#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/sources.h"
#include "runtime/data/text/bpe_trainer.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Learned from "abab abab": the bytes, "ab", "abab", and " abab".
std::shared_ptr<const Tokenizer> SmallTokenizer() {
  BpeTrainer trainer({.vocabulary = 260});
  trainer.Add("abab abab");
  return *Tokenizer::Create(*trainer.Train());
}

class TokenSourceTest : public ::testing::Test {
 protected:
  std::shared_ptr<const Dataset> Texts(const std::vector<std::string>& texts) {
    std::vector<std::string> payloads;
    for (const std::string& text : texts) payloads.push_back(ExampleMaker().Bytes("text", text).Serialize());
    return Records(payloads);
  }
  std::shared_ptr<const Dataset> Records(const std::vector<std::string>& payloads) {
    Put(&fs_, "f", FileOf(payloads));
    return *Dataset::Open(&fs_, {"f"});
  }
  TokenOptions Encoded(int64_t length) {
    return {.feature = "text", .tokenizer = tokenizer_, .windows = {.length = length}};
  }
  static TokenOptions Ids(int64_t length, int64_t vocabulary, int id_bytes = 0) {
    return {.feature = "text",
            .holds_ids = true,
            .id_bytes = id_bytes,
            .vocabulary = vocabulary,
            .windows = {.length = length}};
  }
  // "tokens|targets" of a sample.
  static std::string Window(const SampleSource& source, int64_t sample) {
    const auto length = static_cast<size_t>(source.inputs()[0].type.shape[0]);
    std::vector<int32_t> tokens(length), targets(length);
    std::byte* const outputs[] = {reinterpret_cast<std::byte*>(tokens.data()),
                                  reinterpret_cast<std::byte*>(targets.data())};
    EXPECT_TRUE(source.Decode(sample, outputs).ok());
    return absl::StrCat(absl::StrJoin(tokens, " "), "|", absl::StrJoin(targets, " "));
  }
  testing::MemoryFileSystem fs_;
  const std::shared_ptr<const Tokenizer> tokenizer_ = SmallTokenizer();
  const int32_t ab_ = *tokenizer_->Find("ab"), abab_ = *tokenizer_->Find("abab"), a_ = *tokenizer_->Find("a"),
                b_ = *tokenizer_->Find("b"), end_ = *tokenizer_->Find("<|endoftext|>");
};

TEST_F(TokenSourceTest, TextIsMadeIntoTokensRecordByRecord) {
  const auto source =
      *MakeTokenSource(Texts({"ab", "abab", "", "a"}), Encoded(2));  // "ab" does not grow to "abab"
  ASSERT_EQ(source->size(), 1);
  EXPECT_EQ(Window(*source, 0), absl::StrCat(ab_, " ", abab_, "|", abab_, " ", a_));
  EXPECT_EQ(source->inputs()[0].name, "tokens");
  EXPECT_EQ(source->Describe(0), "f, record 0, token 0");
}

TEST_F(TokenSourceTest, ASeparatorFollowsEachRecord) {
  TokenOptions options = Encoded(2);
  options.separator = "<|endoftext|>";
  options.windows.stride = 1;
  const auto source = *MakeTokenSource(Texts({"ab", "a"}), options);
  ASSERT_EQ(source->size(), 2);
  EXPECT_EQ(Window(*source, 0), absl::StrCat(ab_, " ", end_, "|", end_, " ", a_));
  EXPECT_EQ(Window(*source, 1), absl::StrCat(end_, " ", a_, "|", a_, " ", end_));
  EXPECT_EQ(source->Describe(1), "f, record 0, token 1");
  // Targets: the separator (no bytes of the text) and "a"; then "a" and the separator.
  EXPECT_DOUBLE_EQ(source->BytesPerTarget(2), 0.5);
}

TEST_F(TokenSourceTest, BytesPerTargetCountsTheTargetsAlone) {
  const auto source = *MakeTokenSource(Texts({"b", "abab", "ab"}), Encoded(2));
  EXPECT_DOUBLE_EQ(source->BytesPerTarget(1), 3);  // "abab" and "ab"
}

TEST_F(TokenSourceTest, IdsOfAnyWidth) {
  const auto list =
      *MakeTokenSource(Records({ExampleMaker().Ints("text", {70000, 1, 2}).Serialize()}), Ids(2, 70001));
  EXPECT_EQ(Window(*list, 0), "70000 1|1 2");
  EXPECT_EQ(list->BytesPerTarget(1), 0);  // nobody knows
  for (const int width : {1, 2, 4, 8}) {
    std::string bytes;
    for (const char id : {7, 200 - 256, 3}) {
      bytes += id;
      bytes.append(static_cast<size_t>(width) - 1, '\0');
    }
    const auto packed = *MakeTokenSource(Texts({bytes}), Ids(2, 256, width));
    EXPECT_EQ(Window(*packed, 0), "7 200|200 3");
  }
}

TEST_F(TokenSourceTest, IdsGiveWhatTheirTextGives) {
  const std::string text = "abab ab abab aab";
  std::vector<int32_t> ids;
  tokenizer_->Encode(text, &ids);
  const auto encoded = *MakeTokenSource(Texts({text}), Encoded(3));
  TokenOptions options = Encoded(3);
  options.holds_ids = true;
  const auto held = *MakeTokenSource(
      Records({ExampleMaker().Ints("text", std::vector<int64_t>(ids.begin(), ids.end())).Serialize()}),
      options);
  ASSERT_EQ(held->size(), encoded->size());
  for (int64_t i = 0; i < held->size(); ++i) EXPECT_EQ(Window(*held, i), Window(*encoded, i));
  EXPECT_EQ(held->BytesPerTarget(1), encoded->BytesPerTarget(1));
}

TEST_F(TokenSourceTest, BadIdsAreNamed) {
  const auto error = [&](const std::string& payload, TokenOptions options) {
    const auto source = MakeTokenSource(Records({payload}), std::move(options));
    EXPECT_EQ(TroubleOf(source.status()), Trouble::kData);
    return std::string(source.status().message());
  };
  EXPECT_THAT(error(ExampleMaker().Ints("text", {1, 5}).Serialize(), Ids(1, 5)),
              AllOf(HasSubstr("f, record 0"), HasSubstr("element 1"), HasSubstr("5 is not in [0, 5)")));
  EXPECT_THAT(error(ExampleMaker().Ints("text", {-1, 5}).Serialize(), Ids(1, 5)), HasSubstr("the id -1"));
  EXPECT_THAT(error(ExampleMaker().Bytes("text", "abc").Serialize(), Ids(1, 500, 2)), HasSubstr("3 bytes"));
  EXPECT_THAT(error(ExampleMaker().Bytes("text", "abc").Serialize(), Ids(1, 500)), HasSubstr("token_bytes"));
  EXPECT_THAT(error(ExampleMaker().Ints("txt", {1}).Serialize(), Ids(1, 500)),
              HasSubstr("no feature 'text'"));
  EXPECT_THAT(error("\xff", Ids(1, 500)), HasSubstr("tf.train.Example"));
  EXPECT_THAT(error(ExampleMaker().Ints("text", {1}).Serialize(), Ids(1, 500)), HasSubstr("1 tokens"));
}

TEST_F(TokenSourceTest, TheFirstBadRecordIsNamedWhateverTheThreads) {
  std::vector<std::string> payloads(2000, ExampleMaker().Ints("text", {1}).Serialize());
  for (size_t i = 1234; i < payloads.size(); ++i) payloads[i] = ExampleMaker().Ints("text", {9}).Serialize();
  const auto source = MakeTokenSource(Records(payloads), Ids(1, 5));
  EXPECT_THAT(source.status().message(), HasSubstr("f, record 1234:"));
}

TEST_F(TokenSourceTest, WhatDoesNotFitIsAConfigError) {
  const auto trouble = [&](TokenOptions options) {
    return TroubleOf(MakeTokenSource(Texts({"abab"}), std::move(options)).status());
  };
  TokenOptions options = Encoded(1);
  options.separator = "<none>";
  EXPECT_EQ(trouble(options), Trouble::kConfig);
  options = Encoded(1);
  options.vocabulary = 100;
  EXPECT_EQ(trouble(options), Trouble::kConfig);
  EXPECT_EQ(trouble(Encoded(0)), Trouble::kConfig);
  EXPECT_EQ(trouble(Ids(1, 0)), Trouble::kConfig);
}

TEST_F(TokenSourceTest, AnotherTokenizerIsOtherData) {
  const auto dataset = Texts({"abab abab"});
  BpeTrainer trainer({.vocabulary = 258});
  trainer.Add("abab abab");
  TokenOptions other = Encoded(1);
  other.tokenizer = *Tokenizer::Create(*trainer.Train());
  EXPECT_NE((*MakeTokenSource(dataset, Encoded(1)))->fingerprint(),
            (*MakeTokenSource(dataset, other))->fingerprint());
}

// Each of "tokens|targets|mask|segments" of a sample.
std::string PackedWindow(const SampleSource& source, int64_t sample) {
  const auto length = static_cast<size_t>(source.inputs()[0].type.shape[0]);
  std::vector<int32_t> tokens(length, -7), targets(length, -7), segments(length, -7);
  std::vector<uint8_t> mask(length, 77);
  std::byte* const outputs[] = {
      reinterpret_cast<std::byte*>(tokens.data()), reinterpret_cast<std::byte*>(targets.data()),
      reinterpret_cast<std::byte*>(mask.data()), reinterpret_cast<std::byte*>(segments.data())};
  EXPECT_TRUE(source.Decode(sample, outputs).ok());
  return absl::StrCat(absl::StrJoin(tokens, " "), "|", absl::StrJoin(targets, " "), "|",
                      absl::StrJoin(mask, " "), "|", absl::StrJoin(segments, " "));
}

TEST_F(TokenSourceTest, PackedWindowsHoldWholeRecords) {
  const auto ids = [](const std::vector<int64_t>& values) {
    return ExampleMaker().Ints("text", values).Serialize();
  };
  TokenOptions options = Ids(4, 100);
  options.packed = true;
  // Of 3, 1, 2, 0 and 5 positions; one token alone has nothing to predict.
  const auto source = *MakeTokenSource(Records({ids({1, 2, 3, 4}), ids({11, 12}), ids({21, 22, 23}),
                                                ids({31}), ids({41, 42, 43, 44, 45, 46})}),
                                       options);
  ASSERT_EQ(source->size(), 3);
  EXPECT_EQ(PackedWindow(*source, 0), "1 2 3 11|2 3 4 12|1 1 1 1|1 1 1 2");
  EXPECT_EQ(PackedWindow(*source, 1), "21 22 45 0|22 23 46 0|1 1 1 0|1 1 2 0");
  EXPECT_EQ(PackedWindow(*source, 2), "41 42 43 44|42 43 44 45|1 1 1 1|1 1 1 1");
  EXPECT_EQ(source->inputs()[2].name, "targets.mask");
  EXPECT_EQ(source->inputs()[3].name, "tokens.segment");
  EXPECT_EQ(source->Describe(1), "f, record 2, token 0 and 1 more documents");
}

TEST_F(TokenSourceTest, PackedWithASeparatorPredictsIt) {
  TokenOptions options = Encoded(3);
  options.packed = true;
  options.separator = "<|endoftext|>";
  const auto source = *MakeTokenSource(Texts({"ab", "a"}), options);
  ASSERT_EQ(source->size(), 1);
  EXPECT_EQ(PackedWindow(*source, 0), absl::StrCat(ab_, " ", a_, " 0|", end_, " ", end_, " 0|1 1 0|1 2 0"));
  EXPECT_EQ(source->BytesPerTarget(1), 0);  // separators stand for no byte
}

TEST_F(TokenSourceTest, PackedBytesPerTargetCountsWhatIsThere) {
  TokenOptions options = Encoded(5);
  options.packed = true;
  const auto source = *MakeTokenSource(Texts({"aabab", "b"}), options);  // a abab
  ASSERT_EQ(source->size(), 1);
  EXPECT_EQ(source->BytesPerTarget(1), 4);
}

TEST_F(TokenSourceTest, NothingToPackIsAnError) {
  TokenOptions options = Encoded(5);
  options.packed = true;
  const auto source = MakeTokenSource(Texts({"a", "", "b"}), options);
  EXPECT_EQ(TroubleOf(source.status()), Trouble::kData);
  EXPECT_THAT(source.status().message(), HasSubstr("no record has two tokens"));
}

}  // namespace
}  // namespace lockstep::data
