#include "runtime/data/text/bpe_trainer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/data/text/byte_level.h"
#include "runtime/data/text/merge_trainer.h"

namespace lockstep::data {

void BpeTrainer::Add(absl::string_view text) {
  while (!text.empty()) {
    const size_t size = ByteLevelWord(text);
    ++words_[text.substr(0, size)];
    text.remove_prefix(size);
  }
}

absl::StatusOr<TokenizerSpec> BpeTrainer::Train() const {
  const int32_t least = static_cast<int32_t>(options_.special.size()) + 256;
  if (options_.vocabulary < least) {
    return ConfigError(absl::StrCat("a vocabulary of ", options_.vocabulary, " is too small: the bytes and ",
                                    options_.special.size(), " special tokens are ", least));
  }
  TokenizerSpec spec;
  absl::flat_hash_map<std::string, int32_t> ids;  // as written
  const auto add = [&](const std::string& token) {
    const auto [at, is_new] = ids.emplace(token, static_cast<int32_t>(spec.vocabulary.size()));
    if (is_new) spec.vocabulary.emplace_back(token, at->second);
    return at->second;
  };
  for (const std::string& token : options_.special) {
    spec.added.push_back({.content = token, .id = add(token), .special = true});
  }
  std::vector<std::pair<char32_t, uint8_t>> characters;
  for (int byte = 0; byte < 256; ++byte)
    characters.emplace_back(CharacterOfByte(static_cast<uint8_t>(byte)), byte);
  std::sort(characters.begin(), characters.end());
  int32_t byte_ids[256];
  for (const auto& [character, byte] : characters) {
    byte_ids[byte] = add(WriteByteLevel(std::string(1, static_cast<char>(byte))));
  }
  std::vector<MergeWord> words;
  words.reserve(words_.size());
  for (const auto& [text, count] : words_) {
    MergeWord word{{}, count};
    for (const char byte : text) word.tokens.push_back(byte_ids[static_cast<uint8_t>(byte)]);
    words.push_back(std::move(word));
  }
  LearnMerges(std::move(words), options_.vocabulary, /*prefix=*/"", &spec);
  return spec;
}

}  // namespace lockstep::data
