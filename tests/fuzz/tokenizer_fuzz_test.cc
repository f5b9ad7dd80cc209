// Tokenizer files from anywhere, and any bytes as text: refused or understood, never a crash, no byte lost.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/data/text/byte_level.h"
#include "runtime/data/text/tokenizer.h"
#include "runtime/data/text/tokenizer_file.h"
#include "tests/fuzz/fuzz.h"

namespace lockstep::data {
namespace {

std::string Golden(const std::string& name) {
  return *ReadWholeFile(RealFileSystem(), absl::StrCat(LOCKSTEP_SOURCE_DIR,
                                                       "/tests/testing/golden/tokenizers/", name, ".json"));
}

// All bytes and a few merges; small, so that mutations hit what matters.
TokenizerSpec SmallBpe() {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) {
    spec.vocabulary.emplace_back(WriteByteLevel(std::string(1, static_cast<char>(byte))), byte);
  }
  for (const auto& [left, right] : {std::pair<const char*, const char*>{"a", "b"}, {"ab", "a"}, {"b", "a"}}) {
    spec.merges.emplace_back(left, right);
    spec.vocabulary.emplace_back(absl::StrCat(left, right), static_cast<int32_t>(spec.vocabulary.size()));
  }
  spec.added.push_back({.content = "<x>", .id = static_cast<int32_t>(spec.vocabulary.size())});
  return spec;
}

TokenizerSpec SmallWordPiece() {
  TokenizerSpec spec;
  spec.model = TokenizerSpec::Model::kWordPiece;
  for (const char* token : {"[UNK]", "a", "##b", "##\xc3\xa9", "."}) {
    spec.vocabulary.emplace_back(token, static_cast<int32_t>(spec.vocabulary.size()));
  }
  return spec;
}

TEST(TokenizerFuzzTest, Files) {
  int64_t accepted = 0;
  testing::Fuzz("tokenizer_files", {WriteTokenizerJson(SmallBpe()), WriteTokenizerJson(SmallWordPiece())},
                [&](const std::string& input) {
                  auto spec = ParseTokenizerJson(input, "input");
                  if (!spec.ok()) {
                    EXPECT_EQ(TroubleOf(spec.status()), Trouble::kData);
                    return;
                  }
                  const auto tokenizer = Tokenizer::Create(*std::move(spec));
                  if (!tokenizer.ok()) return;
                  ++accepted;
                  std::vector<int32_t> ids;
                  (*tokenizer)->Encode("abab a.\xc3\xa9\xff <x>", &ids);
                  for (const int32_t id : ids) ASSERT_LT(id, (*tokenizer)->vocabulary_size());
                  (*tokenizer)->Decode(ids);
                });
  EXPECT_GT(accepted, 0);
}

TEST(TokenizerFuzzTest, ByteLevelLosesNoByte) {
  const auto tokenizer = *Tokenizer::Create(*ParseTokenizerJson(Golden("bpe"), "bpe"));
  Tokenizer::Cache cache;
  testing::Fuzz("byte_level",
                {"it's  two\n\n words", "caf\xc3\xa9 \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x98\x80",
                 "\xff\xfe\x80", std::string(100, 'a')},
                [&](const std::string& input) {
                  std::vector<int32_t> ids;
                  tokenizer->Encode(input, &ids, &cache);
                  // The one token that takes blanks along with it.
                  if (input.find("<mask>") != std::string::npos) return;
                  ASSERT_EQ(tokenizer->Decode(ids), input);
                });
}

TEST(TokenizerFuzzTest, WordPieceTakesAnyBytes) {
  for (const char* name : {"cased", "uncased"}) {
    const auto tokenizer = *Tokenizer::Create(*ParseTokenizerJson(Golden(name), name));
    testing::Fuzz(name,
                  {"The na\xc3\xafve caf\xc3\xa9, \xe6\xbc\xa2 \xed\x95\x9c", "\xe3\x80\xae\xcc\xa3\xff"},
                  [&](const std::string& input) {
                    std::vector<int32_t> ids;
                    tokenizer->Encode(input, &ids);
                    EXPECT_LE(ids.size(), 4 * input.size() + 1);
                    tokenizer->Decode(ids);
                  });
  }
}

}  // namespace
}  // namespace lockstep::data
