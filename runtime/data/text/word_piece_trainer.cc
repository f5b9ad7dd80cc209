#include "runtime/data/text/word_piece_trainer.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/data/text/merge_trainer.h"
#include "runtime/data/text/unicode.h"
#include "runtime/data/text/word_piece.h"

namespace lockstep::data {
namespace {

// Calls visit(character, is_first) for each code point of `word`, which is well formed.
template <typename Visit>
void ForEachCharacter(absl::string_view word, const Visit& visit) {
  const char* const end = word.data() + word.size();
  for (const char* at = word.data(); at < end;) {
    const unicode::CodePoint c = unicode::Decode(at, end);
    visit(c.value, at == word.data());
    at += c.size_bytes;
  }
}

std::string Piece(char32_t character, absl::string_view prefix) {
  std::string piece(prefix);
  unicode::AppendUtf8(character, &piece);
  return piece;
}

}  // namespace

void WordPieceTrainer::Add(absl::string_view text) {
  const std::string normalized = NormalizeBert(text, options_.normalization);
  for (const absl::string_view word : BertWords(normalized)) ++words_[word];
}

absl::StatusOr<TokenizerSpec> WordPieceTrainer::Train() const {
  TokenizerSpec spec;
  spec.model = TokenizerSpec::Model::kWordPiece;
  spec.normalization = options_.normalization;
  absl::flat_hash_map<std::string, int32_t> ids;
  const auto add = [&](const std::string& token) {
    const auto [at, is_new] = ids.emplace(token, static_cast<int32_t>(spec.vocabulary.size()));
    if (is_new) spec.vocabulary.emplace_back(token, at->second);
    return at->second;
  };
  for (const std::string& token : options_.special)
    spec.added.push_back({.content = token, .id = add(token), .special = true});
  std::set<char32_t> characters, within;
  for (const auto& [word, count] : words_) {
    ForEachCharacter(word, [&](char32_t c, bool is_first) {
      characters.insert(c);
      if (!is_first) within.insert(c);
    });
  }
  for (const char32_t c : characters) add(Piece(c, ""));
  for (const char32_t c : within) add(Piece(c, spec.continuing_prefix));
  if (spec.vocabulary.size() > static_cast<size_t>(options_.vocabulary)) {
    return ConfigError(
        absl::StrCat("a vocabulary of ", options_.vocabulary, " is too small: ", options_.special.size(),
                     " special tokens and the characters of this text, at the beginning of words and "
                     "within them, are ",
                     spec.vocabulary.size()));
  }
  std::vector<MergeWord> words;
  words.reserve(words_.size());
  for (const auto& [text, count] : words_) {
    MergeWord word{{}, count};
    ForEachCharacter(text, [&](char32_t c, bool is_first) {
      word.tokens.push_back(ids.at(Piece(c, is_first ? "" : spec.continuing_prefix)));
    });
    words.push_back(std::move(word));
  }
  LearnMerges(std::move(words), options_.vocabulary, spec.continuing_prefix, &spec);
  spec.merges.clear();  // WordPiece needs only what came of them
  return spec;
}

}  // namespace lockstep::data
