#include "runtime/data/text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/core/hash.h"
#include "runtime/data/text/byte_level.h"
#include "runtime/data/text/tokenizer_file.h"

namespace lockstep::data {
namespace {

// Ids may leave numbers out, but no file may ask for more memory than its entries account for.
constexpr size_t kMostMissing = 65536;

}  // namespace

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::Load(FileSystem* fs, const std::string& path) {
  ASSIGN_OR_RETURN(TokenizerSpec spec, ReadTokenizer(fs, path));
  auto tokenizer = Create(std::move(spec));
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), path);
  return tokenizer;
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::Create(TokenizerSpec spec) {
  std::shared_ptr<Tokenizer> tokenizer(new Tokenizer);
  tokenizer->spec_ = std::move(spec);
  const TokenizerSpec& of = tokenizer->spec_;
  RETURN_IF_ERROR(tokenizer->AddVocabulary());
  std::vector<AddedToken> raw, normalized;
  for (const AddedToken& token : of.added) {
    (token.normalized ? normalized : raw).push_back(token);
    if (!token.normalized || tokenizer->lossless() || !of.normalize) continue;
    normalized.back().content = NormalizeBert(token.content, of.normalization);
    tokenizer->tokens_[token.id] = normalized.back().content;
  }
  tokenizer->raw_added_ = AddedTokens(std::move(raw));
  tokenizer->normalized_added_ = AddedTokens(std::move(normalized));
  if (tokenizer->lossless()) {
    ASSIGN_OR_RETURN(tokenizer->bpe_, BpeModel::Create(of));
  } else {
    ASSIGN_OR_RETURN(tokenizer->word_piece_, WordPieceModel::Create(of));
  }
  tokenizer->fingerprint_ = Sha256Hex(WriteTokenizerJson(of));
  return std::shared_ptr<const Tokenizer>(std::move(tokenizer));
}

absl::Status Tokenizer::AddVocabulary() {
  const size_t entries = spec_.vocabulary.size() + spec_.added.size();
  const auto add = [&](const std::string& token, int32_t id) -> absl::Status {
    if (id < 0 || static_cast<size_t>(id) >= entries + kMostMissing) {
      return DataError(absl::StrCat("the id ", id, " of '", token, "' is out of range: there are ", entries,
                                    " tokens, and at most ", kMostMissing, " numbers may be left out"));
    }
    const auto [at, is_new] = ids_.emplace(token, id);
    if (!is_new && at->second != id) {
      return DataError(absl::StrCat("the token '", token, "' has two ids, ", at->second, " and ", id));
    }
    if (tokens_.size() <= static_cast<size_t>(id)) tokens_.resize(id + 1);
    if (is_new && tokens_[id]) {
      return DataError(absl::StrCat("the id ", id, " is given to two tokens, one of them '", token, "'"));
    }
    tokens_[id] = token;
    return absl::OkStatus();
  };
  for (const auto& [token, id] : spec_.vocabulary) {
    RETURN_IF_ERROR(add(token, id));
    if (!lossless()) continue;
    if (auto bytes = ReadByteLevel(token)) tokens_[id] = *std::move(bytes);
  }
  for (const AddedToken& token : spec_.added) RETURN_IF_ERROR(add(token.content, token.id));
  if (tokens_.empty()) return DataError("the vocabulary is empty");
  for (const auto& token : tokens_) sizes_.push_back(token ? static_cast<int32_t>(token->size()) : 0);
  for (const AddedToken& token : spec_.added) {
    if (token.special) sizes_[token.id] = 0;
  }
  return absl::OkStatus();
}

void Tokenizer::Encode(absl::string_view text, std::vector<int32_t>* ids, Cache* cache) const {
  Cache own;
  if (cache == nullptr) cache = &own;
  const auto token = [ids](int32_t id) { ids->push_back(id); };
  raw_added_.Split(
      text,
      [&](absl::string_view piece) {
        std::string normal;
        if (!lossless() && spec_.normalize) piece = normal = NormalizeBert(piece, spec_.normalization);
        normalized_added_.Split(
            piece, [&](absl::string_view part) { EncodePiece(part, ids, cache); }, token);
      },
      token);
}

void Tokenizer::EncodePiece(absl::string_view piece, std::vector<int32_t>* ids, Cache* cache) const {
  if (word_piece_) {
    for (const absl::string_view word : BertWords(piece)) word_piece_->Encode(word, ids);
    return;
  }
  std::string prefixed;
  if (spec_.add_prefix_space && !absl::StartsWith(piece, " ")) piece = prefixed = absl::StrCat(" ", piece);
  while (!piece.empty()) {
    const size_t size = spec_.split_words ? ByteLevelWord(piece) : piece.size();
    bpe_->Encode(piece.substr(0, size), cache, ids);
    piece.remove_prefix(size);
  }
}

std::string Tokenizer::Decode(absl::Span<const int32_t> ids) const {
  std::string text;
  bool is_first = true;
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocabulary_size() || !tokens_[id]) continue;
    text += lossless() ? *tokens_[id] : DecodeWordPiece(*tokens_[id], spec_, is_first);
    is_first = false;
  }
  return text;
}

std::optional<int32_t> Tokenizer::Find(absl::string_view token) const {
  const auto at = ids_.find(token);
  return at == ids_.end() ? std::nullopt : std::optional<int32_t>(at->second);
}

}  // namespace lockstep::data
