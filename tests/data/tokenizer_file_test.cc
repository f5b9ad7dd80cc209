#include "runtime/data/text/tokenizer_file.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/text/byte_level.h"
#include "runtime/data/text/tokenizer.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

// All bytes, then "ab" of a and b.
Json Bpe() {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary[WriteByteLevel(std::string(1, static_cast<char>(byte)))] = byte;
  }
  vocabulary["ab"] = 256;
  return {{"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"a b"}}}}};
}

std::string ErrorOf(const Json& file) {
  testing::MemoryFileSystem fs;
  Put(&fs, "t.json", file.dump());
  const auto loaded = Tokenizer::Load(&fs, "t.json");
  EXPECT_EQ(TroubleOf(loaded.status()), Trouble::kData);
  return std::string(loaded.status().message());
}

// The file with `value` at `pointer`.
std::string ErrorWith(const std::string& pointer, const Json& value) {
  Json file = Bpe();
  file[Json::json_pointer(pointer)] = value;
  return ErrorOf(file);
}

std::vector<int32_t> Encode(const Tokenizer& tokenizer, absl::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.Encode(text, &ids);
  return ids;
}

TEST(TokenizerFileTest, WhatIsNotBuiltIsRefusedByName) {
  EXPECT_THAT(ErrorWith("/model/type", "Unigram"), AllOf(HasSubstr("t.json: model"), HasSubstr("'Unigram'")));
  EXPECT_THAT(ErrorWith("/normalizer", {{"type", "NFC"}}),
              AllOf(HasSubstr("normalizer"), HasSubstr("'NFC'")));
  EXPECT_THAT(ErrorWith("/pre_tokenizer/type", "Whitespace"), HasSubstr("pre_tokenizer: 'Whitespace'"));
  EXPECT_THAT(ErrorWith("/pre_tokenizer", nullptr), HasSubstr("pre_tokenizer: is missing"));
  EXPECT_THAT(ErrorWith("/model/dropout", 0.1), HasSubstr("model.dropout"));
  EXPECT_THAT(ErrorWith("/model/end_of_word_suffix", "</w>"), HasSubstr("model.end_of_word_suffix"));
  EXPECT_THAT(ErrorWith("/added_tokens", {{{"id", 300}, {"content", "x"}, {"single_word", true}}}),
              HasSubstr("added_tokens[0].single_word"));
}

TEST(TokenizerFileTest, DamageIsNamedWithItsPlace) {
  EXPECT_THAT(ErrorWith("/model/vocab", {1, 2}), HasSubstr("model.vocab"));
  EXPECT_THAT(ErrorWith("/model/vocab/a", -1), AllOf(HasSubstr("'a'"), HasSubstr("-1")));
  EXPECT_THAT(ErrorWith("/model/vocab/a", 1.5), HasSubstr("'a'"));
  EXPECT_THAT(ErrorWith("/model/vocab/a", uint64_t{1} << 63), HasSubstr("'a'"));
  EXPECT_THAT(ErrorWith("/model/vocab/a", 2000000000), HasSubstr("out of range"));
  EXPECT_THAT(ErrorWith("/model/vocab/a", int{'b'}), HasSubstr("two tokens"));
  EXPECT_THAT(ErrorWith("/model/merges/0", "a b c"),
              AllOf(HasSubstr("model.merges[0]"), HasSubstr("'a b c'")));
  EXPECT_THAT(ErrorWith("/model/merges/0", "b a"), AllOf(HasSubstr("merge 0"), HasSubstr("no 'ba'")));
  EXPECT_THAT(ErrorWith("/model/merges", "a b"), HasSubstr("model.merges"));
  EXPECT_THAT(ErrorWith("/added_tokens", {{{"id", 300}}}), HasSubstr("added_tokens[0]"));
  EXPECT_THAT(ErrorWith("/added_tokens", {{{"id", 3}, {"content", "new"}}}), HasSubstr("the id 3"));
  EXPECT_THAT(ErrorWith("/added_tokens", {{{"id", 3}, {"content", "ab"}}}), HasSubstr("two ids"));
  Json no_byte = Bpe();
  no_byte["model"]["vocab"].erase("z");
  EXPECT_THAT(ErrorOf(no_byte), HasSubstr("0x7a"));
  EXPECT_THAT(ErrorOf(Json::array()), HasSubstr("t.json"));
}

TEST(TokenizerFileTest, BrokenJsonIsNamedWithLineAndColumn) {
  EXPECT_THAT(ParseTokenizerJson("{\n \"model\": }", "t.json").status().message(),
              AllOf(HasSubstr("t.json"), HasSubstr("line 2")));
  EXPECT_FALSE(ParseTokenizerJson("", "t.json").ok());
  EXPECT_FALSE(ParseTokenizerJson(std::string(1 << 20, '['), "t.json").ok());
}

TEST(TokenizerFileTest, OlderFilesWithoutTypeOfModel) {
  Json file = Bpe();
  file["model"].erase("type");
  const auto spec = ParseTokenizerJson(file.dump(), "t.json");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->model, TokenizerSpec::Model::kByteLevelBpe);
}

TEST(TokenizerFileTest, Gpt2sVocabularyAndMerges) {
  testing::MemoryFileSystem fs;
  Json vocabulary = Bpe()["model"]["vocab"];
  vocabulary["<|endoftext|>"] = 257;
  Put(&fs, "gpt2-vocab.json", vocabulary.dump());
  Put(&fs, "gpt2-merges.txt", "#version: 0.2\na b\n");
  const auto tokenizer = Tokenizer::Load(&fs, "gpt2-vocab.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(Encode(**tokenizer, "abc<|endoftext|>"), ElementsAre(256, 'c', 257));
  EXPECT_EQ((*tokenizer)->vocabulary_size(), 258);
  Put(&fs, "gpt2-merges.txt", "#version: 0.2\na b\nc\n");
  EXPECT_THAT(Tokenizer::Load(&fs, "gpt2-vocab.json").status().message(),
              AllOf(HasSubstr("gpt2-merges.txt, line 3"), HasSubstr("'c'")));
}

TEST(TokenizerFileTest, BertsVocabulary) {
  testing::MemoryFileSystem fs;
  Put(&fs, "vocab.txt", "[PAD]\n[UNK]\nthe\nca\n##t\n[MASK]\n");
  EXPECT_THAT(Encode(**Tokenizer::Load(&fs, "vocab.txt"), "The [MASK] C\xc3\xa0t dog"),
              ElementsAre(2, 5, 3, 4, 1));
  Put(&fs, "tokenizer_config.json", "{\"do_lower_case\": false}");
  EXPECT_THAT(Encode(**Tokenizer::Load(&fs, "vocab.txt"), "The cat"), ElementsAre(1, 3, 4));
  Put(&fs, "vocab.txt", "a\nb\n");
  EXPECT_THAT(Tokenizer::Load(&fs, "vocab.txt").status().message(), HasSubstr("[UNK]"));
  Put(&fs, "vocab.txt", "[UNK]\na\na\n");
  EXPECT_THAT(Tokenizer::Load(&fs, "vocab.txt").status().message(), HasSubstr("two ids"));
}

TEST(TokenizerFileTest, MissingFilesAreDataErrors) {
  testing::MemoryFileSystem fs;
  EXPECT_EQ(TroubleOf(Tokenizer::Load(&fs, "none.json").status()), Trouble::kData);
  Put(&fs, "vocab.json", "{}");
  EXPECT_THAT(Tokenizer::Load(&fs, "vocab.json").status().message(), HasSubstr("merges.txt"));
}

}  // namespace
}  // namespace lockstep::data
