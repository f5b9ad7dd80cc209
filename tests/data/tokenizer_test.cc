// Against what Hugging Face's tokenizers made of the same texts (scripts/golden/make_tokenizers.py).
#include "runtime/data/text/tokenizer.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/hash.h"
#include "runtime/data/dataset.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/text/bpe_trainer.h"
#include "runtime/data/text/byte_level.h"
#include "runtime/data/text/tokenizer_file.h"
#include "runtime/data/text/unicode.h"
#include "runtime/data/text/word_piece.h"
#include "runtime/data/text/word_piece_trainer.h"

namespace lockstep::data {
namespace {

using Json = nlohmann::json;

std::string PathOf(const std::string& name) {
  return absl::StrCat(LOCKSTEP_SOURCE_DIR, "/tests/testing/golden/tokenizers/", name, ".json");
}

const Json& Golden() {
  static const Json golden = Json::parse(*ReadWholeFile(RealFileSystem(), PathOf("cases")));
  return golden;
}

std::vector<int32_t> Encode(const Tokenizer& tokenizer, absl::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.Encode(text, &ids);
  return ids;
}

std::string HashOfIds(const std::vector<std::vector<int32_t>>& rows) {
  std::string bytes;
  const auto add = [&bytes](uint32_t value) { bytes.append(reinterpret_cast<const char*>(&value), 4); };
  for (const auto& row : rows) {
    add(static_cast<uint32_t>(row.size()));
    for (const int32_t id : row) add(static_cast<uint32_t>(id));
  }
  return Sha256Hex(bytes);
}

class GoldenTokenizerTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto loaded = Tokenizer::Load(RealFileSystem(), PathOf(GetParam()));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *loaded;
  }
  const Json& golden() const { return Golden()["tokenizers"][GetParam()]; }
  std::shared_ptr<const Tokenizer> tokenizer_;
};

TEST_P(GoldenTokenizerTest, EncodesAsTheReference) {
  for (size_t i = 0; i < Golden()["texts"].size(); ++i) {
    const auto text = Golden()["texts"][i].get<std::string>();
    EXPECT_EQ(Encode(*tokenizer_, text), golden()["ids"][i].get<std::vector<int32_t>>()) << text;
  }
}

TEST_P(GoldenTokenizerTest, DecodesAsTheReference) {
  for (size_t i = 0; i < Golden()["texts"].size(); ++i) {
    const auto ids = golden()["ids"][i].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer_->Decode(ids), golden()["decoded"][i].get<std::string>());
  }
}

TEST_P(GoldenTokenizerTest, EveryCategoryAtRandom) {
  std::vector<std::vector<int32_t>> rows;
  for (const Json& text : Golden()["random_texts"])
    rows.push_back(Encode(*tokenizer_, text.get<std::string>()));
  EXPECT_EQ(HashOfIds(rows), golden()["random_ids"].get<std::string>());
}

TEST_P(GoldenTokenizerTest, WrittenAndReadAgainItIsTheSame) {
  const std::string text = WriteTokenizerJson(tokenizer_->spec());
  const auto again = ParseTokenizerJson(text, "again");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(WriteTokenizerJson(*again), text);
  EXPECT_EQ((*Tokenizer::Create(*again))->fingerprint(), tokenizer_->fingerprint());
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizerTest,
                         ::testing::Values("bpe", "bpe_prefix", "cased", "uncased"));

TEST(TokenizerTest, WordPieceReadsBrokenUtf8AsReplacements) {
  for (const char* name : {"cased", "uncased"}) {
    const auto tokenizer = *Tokenizer::Load(RealFileSystem(), PathOf(name));
    for (size_t i = 0; i < Golden()["broken"].size(); ++i) {
      const std::string bytes = absl::HexStringToBytes(Golden()["broken"][i].get<std::string>());
      EXPECT_EQ(Encode(*tokenizer, bytes),
                Golden()["tokenizers"][name]["broken_ids"][i].get<std::vector<int32_t>>())
          << i;
    }
  }
}

TEST(TokenizerTest, ByteLevelKeepsBrokenUtf8) {
  const auto tokenizer = *Tokenizer::Load(RealFileSystem(), PathOf("bpe"));
  for (const Json& broken : Golden()["broken"]) {
    const std::string bytes = absl::HexStringToBytes(broken.get<std::string>());
    EXPECT_EQ(tokenizer->Decode(Encode(*tokenizer, bytes)), bytes);
  }
}

// All code points that are assigned and some that are not, in blocks of 4096, each beside a letter, a digit,
// a blank and marks.
TEST(UnicodeTest, EveryCodePointIsTreatedAsByTheReference) {
  const auto hash = [](absl::string_view text) { return Sha256Hex(text).substr(0, 16); };
  for (const auto& [name, golden] : Golden()["sweep"].items()) {
    const char32_t block = static_cast<char32_t>(std::stoi(name));
    std::string line;
    for (char32_t c = block << 12; c < (block + 1) << 12; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      std::string utf8;
      unicode::AppendUtf8(c, &utf8);
      absl::StrAppend(&line, "a", utf8, "1", utf8, " ", utf8, utf8,
                      "\xcc\x81"
                      "A\xcc\xa3\xe3\x80\xae ");
    }
    std::vector<std::string> words;
    for (absl::string_view rest = line; !rest.empty(); rest.remove_prefix(ByteLevelWord(rest))) {
      words.push_back(WriteByteLevel(rest.substr(0, ByteLevelWord(rest))));
    }
    EXPECT_EQ(hash(absl::StrJoin(words, "\n")), golden[0]) << "words, block " << name;
    EXPECT_EQ(hash(absl::StrJoin(BertWords(line), "\n")), golden[1]) << "BERT's words, block " << name;
    EXPECT_EQ(hash(NormalizeBert(line, {})), golden[2]) << "normalised, block " << name;
    EXPECT_EQ(hash(NormalizeBert(line, {.clean_text = false})), golden[3]) << "not cleaned, block " << name;
    EXPECT_EQ(hash(NormalizeBert(line, {.strip_accents = false})), golden[4]) << "accents, block " << name;
  }
}

TEST(UnicodeTest, Utf8IsPartedIntoMaximalSubparts) {
  const auto sizes = [](absl::string_view text) {
    std::vector<int> sizes;  // negative: ill-formed
    for (const char *at = text.data(), *end = at + text.size(); at < end;) {
      const unicode::CodePoint c = unicode::Decode(at, end);
      sizes.push_back(c.valid ? c.size_bytes : -c.size_bytes);
      at += c.size_bytes;
    }
    return sizes;
  };
  using ::testing::ElementsAre;
  EXPECT_THAT(sizes("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(sizes("\x80\xc0\xaf"), ElementsAre(-1, -1, -1));          // stray, overlong
  EXPECT_THAT(sizes("\xed\xa0\x80"), ElementsAre(-1, -1, -1));          // a surrogate
  EXPECT_THAT(sizes("\xf0\x9f\x98 \xe2\x82"), ElementsAre(-3, 1, -2));  // cut short
  EXPECT_THAT(sizes("\xf4\x90\x80\x80"), ElementsAre(-1, -1, -1, -1));  // beyond U+10FFFF
}

TEST(ByteLevelTest, AlphabetIsGpt2s) {
  EXPECT_EQ(WriteByteLevel(" the\n"), "\xc4\xa0the\xc4\x8a");  // Ġ and Ċ
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(ByteOfCharacter(CharacterOfByte(static_cast<uint8_t>(byte))), byte);
  }
  EXPECT_EQ(ReadByteLevel("a b"), std::nullopt);
}

TEST(TokenizerTest, AWordOfAMillionBytes) {
  const auto tokenizer = *Tokenizer::Load(RealFileSystem(), PathOf("bpe"));
  const std::string word(1 << 20, 'x');
  EXPECT_EQ(tokenizer->Decode(Encode(*tokenizer, word)), word);
}

TEST(BpeTrainerTest, LearnsWhatTheReferenceLearns) {
  const Json& golden = Golden()["trained"];
  BpeTrainer trainer({.vocabulary = golden["vocabulary"].get<int32_t>()});
  int times = 0;
  for (const Json& text : Golden()["texts"]) {
    ++times;
    for (int i = 0; i < times; ++i) trainer.Add(text.get<std::string>());
  }
  const auto spec = trainer.Train();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->merges, (golden["merges"].get<std::vector<std::pair<std::string, std::string>>>()));
  for (const auto& [token, id] : spec->vocabulary) EXPECT_EQ(golden["vocab"][token], id) << token;
  EXPECT_EQ(static_cast<int32_t>(spec->vocabulary.size()), golden["vocabulary"].get<int32_t>());
}

TEST(BpeTrainerTest, StopsWhereNothingIsLeft) {
  BpeTrainer trainer({.vocabulary = 1000});
  trainer.Add("aaaa aaaa");
  const auto spec = *trainer.Train();
  EXPECT_EQ(spec.merges.size(), 3u);  // aa, aaaa, and that with a space in front
  EXPECT_EQ((*Tokenizer::Create(spec))->vocabulary_size(), 260);
}

TEST(BpeTrainerTest, ASmallVocabularyIsRefused) {
  const auto spec = BpeTrainer({.vocabulary = 256}).Train();
  EXPECT_EQ(TroubleOf(spec.status()), Trouble::kConfig);
  EXPECT_THAT(spec.status().message(), ::testing::HasSubstr("257"));
  EXPECT_EQ(BpeTrainer({.vocabulary = 257}).Train()->merges.size(), 0u);
}

Json TrainedWordPieces() {
  return Json::parse(*ReadWholeFile(RealFileSystem(), PathOf("word_piece_trained")));
}

// `texts`: (text, how often).
void ExpectLearned(const Json& golden, const std::vector<std::pair<std::string, int>>& texts) {
  WordPieceTrainerOptions options;
  options.vocabulary = golden["vocabulary"].get<int32_t>();
  options.normalization.lower_case = options.normalization.strip_accents = golden["lower"].get<bool>();
  WordPieceTrainer trainer(options);
  for (const auto& [text, times] : texts)
    for (int i = 0; i < times; ++i) trainer.Add(text);
  const auto spec = trainer.Train();
  ASSERT_TRUE(spec.ok()) << spec.status();
  const auto expected = golden["tokens"].get<std::vector<std::string>>();
  ASSERT_EQ(spec->vocabulary.size(), expected.size());
  for (size_t id = 0; id < expected.size(); ++id) {
    ASSERT_EQ(spec->vocabulary[id].first, expected[id]) << id;
    ASSERT_EQ(spec->vocabulary[id].second, static_cast<int32_t>(id));
  }
  // What is written can be read, and makes the same tokens of a text.
  const auto tokenizer = Tokenizer::Create(*spec);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocabulary_size(), static_cast<int64_t>(expected.size()));
}

TEST(WordPieceTrainerTest, LearnsWhatTheReferenceLearnsOfEveryClassOfCharacters) {
  std::vector<std::pair<std::string, int>> texts;
  for (const char* list : {"texts", "random_texts"}) {
    for (const Json& text : Golden()[list])
      texts.emplace_back(text.get<std::string>(), static_cast<int>(texts.size() % 7) + 1);
  }
  for (const Json& golden : TrainedWordPieces()["mixed"]) ExpectLearned(golden, texts);
}

TEST(WordPieceTrainerTest, LearnsWhatTheReferenceLearnsOfABook) {
  const auto dataset = *Dataset::Open(
      RealFileSystem(), {{LOCKSTEP_SOURCE_DIR "/examples/data/text-train-00000-of-00001.tfrecord"}});
  std::string text;
  for (int64_t id = 0; text.size() < 300000; ++id)
    text.append(std::string(*BytesFeature(*dataset->Record(id), "text")));
  text.resize(300000);
  for (const Json& golden : TrainedWordPieces()["shipped"]) ExpectLearned(golden, {{text, 1}});
}

TEST(WordPieceTrainerTest, StopsWhereNothingIsLeft) {
  for (const Json& golden : TrainedWordPieces()["exhausted"]) {
    EXPECT_LT(golden["tokens"].size(), golden["vocabulary"].get<size_t>());
    ExpectLearned(golden, {{"aaa ab aab", 1}, {"b", 1}});
  }
}

TEST(WordPieceTrainerTest, ASmallVocabularyIsRefused) {
  WordPieceTrainerOptions options;
  options.vocabulary = 9;
  WordPieceTrainer trainer(options);
  trainer.Add("abc b");  // 5 + a b c + ##b ##c
  const auto spec = trainer.Train();
  EXPECT_EQ(TroubleOf(spec.status()), Trouble::kConfig);
  EXPECT_THAT(spec.status().message(), ::testing::HasSubstr("are 10"));
}

TEST(TokenizerTest, SizesOfTokensAddUpToTheText) {
  const auto tokenizer = *Tokenizer::Load(RealFileSystem(), PathOf("bpe"));
  const std::string text = "The quick <|endoftext|> na\xc3\xafve";
  int64_t size_bytes = 0;
  for (const int32_t id : Encode(*tokenizer, text)) size_bytes += tokenizer->size_bytes(id);
  EXPECT_EQ(size_bytes, static_cast<int64_t>(text.size() - strlen("<|endoftext|>")));
}

TEST(TokenizerTest, ACacheChangesNothing) {
  const auto tokenizer = *Tokenizer::Load(RealFileSystem(), PathOf("bpe"));
  Tokenizer::Cache cache;
  for (int round = 0; round < 2; ++round) {
    for (const Json& text : Golden()["random_texts"]) {
      std::vector<int32_t> ids;
      tokenizer->Encode(text.get<std::string>(), &ids, &cache);
      ASSERT_EQ(ids, Encode(*tokenizer, text.get<std::string>()));
    }
  }
}

}  // namespace
}  // namespace lockstep::data
