#include "runtime/data/text/word_piece.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "runtime/data/text/unicode.h"

namespace lockstep::data {
namespace {

std::u32string CodePoints(absl::string_view text) {
  std::u32string points;
  points.reserve(text.size());
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at < end;) {
    const unicode::CodePoint c = unicode::Decode(at, end);
    points += c.value;
    at += c.size_bytes;
  }
  return points;
}

std::u32string CleanText(const std::u32string& text) {
  std::u32string out;
  for (const char32_t c : text) {
    const uint8_t bits = unicode::ClassOf(c);
    if ((bits & unicode::kDropped) != 0) continue;
    out += (bits & unicode::kSpace) != 0 ? U' ' : c;
  }
  return out;
}

std::u32string SpaceIdeographs(const std::u32string& text) {
  std::u32string out;
  for (const char32_t c : text) {
    if (unicode::IsIdeograph(c)) {
      out += {U' ', c, U' '};
    } else {
      out += c;
    }
  }
  return out;
}

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

std::string NormalizeBert(absl::string_view text, const BertNormalization& options) {
  std::u32string points = CodePoints(text);
  if (options.clean_text) points = CleanText(points);
  if (options.handle_chinese_characters) points = SpaceIdeographs(points);
  if (options.strip_accents) points = unicode::StripAccents(points);
  if (options.lower_case) {
    std::u32string lower;
    lower.reserve(points.size());
    for (const char32_t c : points) unicode::AppendLower(c, &lower);
    points = std::move(lower);
  }
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : points) unicode::AppendUtf8(c, &out);
  return out;
}

std::vector<absl::string_view> BertWords(absl::string_view text) {
  std::vector<absl::string_view> words;
  const char *const end = text.data() + text.size(), *word = nullptr;
  const auto end_word = [&](const char* at) {
    if (word != nullptr) words.emplace_back(word, static_cast<size_t>(at - word));
    word = nullptr;
  };
  for (const char* at = text.data(); at < end;) {
    const unicode::CodePoint c = unicode::Decode(at, end);
    const uint8_t bits = unicode::ClassOf(c.value);
    if ((bits & (unicode::kSpace | unicode::kPunctuation)) != 0) {
      end_word(at);
      if ((bits & unicode::kSpace) == 0) words.emplace_back(at, static_cast<size_t>(c.size_bytes));
    } else if (word == nullptr) {
      word = at;
    }
    at += c.size_bytes;
  }
  end_word(end);
  return words;
}

absl::StatusOr<WordPieceModel> WordPieceModel::Create(const TokenizerSpec& spec) {
  WordPieceModel model;
  model.most_characters_ = spec.most_characters;
  for (const auto& [token, id] : spec.vocabulary) {
    model.first_.emplace(token, id);
    model.longest_bytes_ = std::max(model.longest_bytes_, token.size());
    if (!absl::StartsWith(token, spec.continuing_prefix)) continue;
    model.continuing_.emplace(token.substr(spec.continuing_prefix.size()), id);
  }
  const auto unknown = model.first_.find(spec.unknown);
  if (unknown == model.first_.end()) {
    return DataError(absl::StrCat("the vocabulary lacks its unknown token '", spec.unknown, "'"));
  }
  model.unknown_ = unknown->second;
  return model;
}

void WordPieceModel::Encode(absl::string_view word, std::vector<int32_t>* ids) const {
  const auto characters = std::count_if(word.begin(), word.end(), [](char c) { return !IsContinuation(c); });
  if (characters > most_characters_) {
    ids->push_back(unknown_);
    return;
  }
  const size_t before = ids->size();
  for (size_t begin = 0; begin < word.size();) {
    const auto& pieces = begin == 0 ? first_ : continuing_;
    size_t size = std::min(longest_bytes_, word.size() - begin);
    auto found = pieces.end();
    for (; size > 0; --size) {
      if (begin + size < word.size() && IsContinuation(word[begin + size])) continue;  // inside a character
      found = pieces.find(word.substr(begin, size));
      if (found != pieces.end()) break;
    }
    if (size == 0) {
      ids->resize(before);
      ids->push_back(unknown_);
      return;
    }
    ids->push_back(found->second);
    begin += size;
  }
}

std::string DecodeWordPiece(absl::string_view token, const TokenizerSpec& spec, bool is_first) {
  std::string text(token);
  if (!is_first) {
    const bool continues = !spec.continuing_prefix.empty() && absl::StartsWith(token, spec.continuing_prefix);
    text = continues ? text.substr(spec.continuing_prefix.size()) : absl::StrCat(" ", text);
  }
  if (!spec.clean_up) return text;
  // One after the other, as each may make what the next one looks for.
  for (const auto& [from, to] :
       std::initializer_list<std::pair<absl::string_view, absl::string_view>>{{" .", "."},
                                                                              {" ?", "?"},
                                                                              {" !", "!"},
                                                                              {" ,", ","},
                                                                              {" ' ", "'"},
                                                                              {" n't", "n't"},
                                                                              {" 'm", "'m"},
                                                                              {" do not", " don't"},
                                                                              {" 's", "'s"},
                                                                              {" 've", "'ve"},
                                                                              {" 're", "'re"}}) {
    text = absl::StrReplaceAll(text, {{from, to}});
  }
  return text;
}

}  // namespace lockstep::data
