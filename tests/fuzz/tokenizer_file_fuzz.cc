// Tokenizer files from anywhere: refused, or a tokenizer whose ids all lie in its vocabulary.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/data/text/byte_level.h"
#include "runtime/data/text/tokenizer.h"
#include "runtime/data/text/tokenizer_file.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep::testing {
namespace {

using data::TokenizerSpec;

// All bytes and a few merges; small, so that mutations hit what matters.
TokenizerSpec SmallBpe() {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) {
    spec.vocabulary.emplace_back(data::WriteByteLevel(std::string(1, static_cast<char>(byte))), byte);
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

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {WriteTokenizerJson(SmallBpe()), WriteTokenizerJson(SmallWordPiece())};
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  auto spec = data::ParseTokenizerJson(std::string(testing::FuzzText(data, size)), "input");
  if (!spec.ok()) {
    testing::Require(TroubleOf(spec.status()) == Trouble::kData, "a bad file is an error of the data",
                     spec.status().ToString());
    return 0;
  }
  const auto tokenizer = data::Tokenizer::Create(*std::move(spec));
  if (!tokenizer.ok()) return 0;
  std::vector<int32_t> ids;
  (*tokenizer)->Encode("abab a.\xc3\xa9\xff <x>", &ids);
  for (const int32_t id : ids)
    testing::Require(id >= 0 && id < (*tokenizer)->vocabulary_size(), "ids lie in the vocabulary");
  (*tokenizer)->Decode(ids);
  testing::NoteReached();
  return 0;
}
