// BERT's tokens: normalisation, words, and their longest pieces (WordPiece).
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_WORD_PIECE_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_WORD_PIECE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/text/tokenizer_spec.h"

namespace lockstep::data {

// UTF-8 to UTF-8; ill-formed bytes count as U+FFFD, which clean_text takes away.
std::string NormalizeBert(absl::string_view text, const BertNormalization& options);

// The words of `text`, UTF-8: what blanks part, every punctuation mark a word of its own. Views into `text`.
std::vector<absl::string_view> BertWords(absl::string_view text);

// Immutable and thread-safe.
class WordPieceModel {
 public:
  // Error: DataError where the unknown token is not in the vocabulary.
  static absl::StatusOr<WordPieceModel> Create(const TokenizerSpec& spec);

  // Appends the pieces of `word`: from its beginning always the longest that the vocabulary has, those that
  // go on written with the prefix; or the unknown token alone.
  void Encode(absl::string_view word, std::vector<int32_t>* ids) const;

 private:
  absl::flat_hash_map<std::string, int32_t> first_, continuing_;  // the latter without the prefix
  size_t longest_bytes_ = 0;
  int32_t unknown_ = 0, most_characters_ = 100;
};

// Pieces back to text, as Hugging Face's decoder does: words parted by spaces; with `clean_up` without a
// space before punctuation and within contractions. `is_first` says that nothing was written before.
std::string DecodeWordPiece(absl::string_view token, const TokenizerSpec& spec, bool is_first);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_WORD_PIECE_H_
