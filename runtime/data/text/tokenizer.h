// Text to token ids and back: byte-level BPE (GPT-2's) and WordPiece (BERT's), equal to Hugging Face's
// `tokenizers` with add_special_tokens=False.
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_TOKENIZER_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/text/added_tokens.h"
#include "runtime/data/text/bpe_model.h"
#include "runtime/data/text/tokenizer_spec.h"
#include "runtime/data/text/word_piece.h"

namespace lockstep::data {

// Immutable and thread-safe.
class Tokenizer {
 public:
  using Cache = BpeModel::Cache;

  // Errors: DataError that names what in the specification does not fit together.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> Create(TokenizerSpec spec);
  // Create of ReadTokenizer (tokenizer_file.h). Errors name the file.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> Load(FileSystem* fs, const std::string& path);

  // Appends the tokens of `text`, any bytes. Byte-level BPE keeps every byte, also those that are no UTF-8:
  // Decode gives them back. WordPiece reads them as U+FFFD. `cache` makes further texts faster; one a thread.
  void Encode(absl::string_view text, std::vector<int32_t>* ids, Cache* cache = nullptr) const;

  // Ids that no token has are left out.
  std::string Decode(absl::Span<const int32_t> ids) const;

  // Ids lie in [0, vocabulary_size()); not every number need be one.
  int32_t vocabulary_size() const { return static_cast<int32_t>(tokens_.size()); }
  std::optional<int32_t> Find(absl::string_view token) const;  // as vocabularies write it

  // Whether ids stand for all bytes of the text; then size_bytes(id) of them (0 for special tokens).
  bool lossless() const { return spec_.model == TokenizerSpec::Model::kByteLevelBpe; }
  int32_t size_bytes(int32_t id) const { return sizes_[id]; }

  const TokenizerSpec& spec() const { return spec_; }
  const std::string& fingerprint() const { return fingerprint_; }  // SHA-256 of the specification, hex

 private:
  Tokenizer() = default;
  absl::Status AddVocabulary();
  void EncodePiece(absl::string_view piece, std::vector<int32_t>* ids, Cache* cache) const;

  TokenizerSpec spec_;
  std::vector<std::optional<std::string>> tokens_;  // by id: as bytes for BPE, else as written
  std::vector<int32_t> sizes_;
  absl::flat_hash_map<std::string, int32_t> ids_;  // as written
  AddedTokens raw_added_, normalized_added_;
  std::optional<BpeModel> bpe_;
  std::optional<WordPieceModel> word_piece_;
  std::string fingerprint_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_TOKENIZER_H_
